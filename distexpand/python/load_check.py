"""The load check, as `plan` and `run` offer it."""

from dataclasses import replace

from distexpand.api import PlannedExpansion, check_load
from distexpand.findings import Finding
from distexpand.proof.check import can_prove
from distexpand.proof.request import LoadProof

_SKIPPED = "load-check-skipped"


def checked_load(planned: PlannedExpansion, *, trust_remote_code: bool) -> tuple[PlannedExpansion, LoadProof]:
    """Return the plan, with a finding more where there was no proof, and the proof.

    Raises:
        LoadCheckError: the output wouldn't load as the source does.
    """
    proof = check_load(planned.plan, trust_remote_code=trust_remote_code)
    if not proof.skipped:
        return planned, proof
    finding = Finding(
        code=_SKIPPED,
        message=f"it isn't proven that the output loads: {proof.skipped}",
        advice="Load the output before you rely on it.",
    )
    return replace(planned, findings=(*planned.findings, finding)), proof


def wanted(asked: bool | None) -> bool:
    """Whether `run` checks: as the user says, else where it can."""
    return can_prove() if asked is None else asked
