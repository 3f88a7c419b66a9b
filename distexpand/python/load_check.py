"""The load check, as `plan` and `run` offer it."""

from dataclasses import replace
from pathlib import Path

from distexpand.api import PlannedExpansion, check_load
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.findings import Finding
from distexpand.proof.check import can_prove
from distexpand.proof.request import LoadProof
from distexpand.runner.place import Output

_SKIPPED = "load-check-skipped"
_SOURCE = "source-incomplete"


def checked_load(planned: PlannedExpansion, *, trust_remote_code: bool) -> tuple[PlannedExpansion, LoadProof]:
    """Return the proof, and the plan with findings of what it didn't prove.

    Raises:
        LoadCheckError: the output wouldn't load as the source does.
    """
    proof = check_load(planned.plan, trust_remote_code=trust_remote_code)
    findings = []
    if proof.skipped:
        findings.append(
            Finding(
                code=_SKIPPED,
                message=f"it isn't proven that the output loads: {proof.skipped}",
                advice="Load the output before you rely on it.",
            )
        )
    if proof.source_problem:
        findings.append(
            Finding(
                code=_SOURCE,
                message="the source itself doesn't load whole, and neither will the output: "
                f"{proof.source_problem}",
                advice="transformers fills such weights with random values. "
                "Is the source's config that of its weights, and its download whole?",
            )
        )
    return replace(planned, findings=(*planned.findings, *findings)), proof


def wanted(asked: bool | None, *, resume: bool, output: Output) -> bool:
    """Whether `run` checks: as the user says, else where it can and the output isn't begun or made."""
    if asked is not None:
        return asked
    return can_prove() and not (resume and isinstance(output, Path) and _is_begun(output))


def _is_begun(output: Path) -> bool:
    return any((output / name).exists() for name in (NOTICE_NAME, MANIFEST_NAME))
