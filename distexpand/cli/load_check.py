"""The load check, as `plan` and `run` offer it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from distexpand.findings import Finding

if TYPE_CHECKING:
    from distexpand.api import PlannedExpansion
    from distexpand.proof.request import LoadProof

_SKIPPED = "load-check-skipped"


def checked_load(
    planned: "PlannedExpansion", *, trust_remote_code: bool
) -> tuple["PlannedExpansion", "LoadProof"]:
    """Return the plan, with a finding more where there was no proof, and the proof.

    Raises:
        LoadCheckError: the output wouldn't load as the source does.
    """
    from distexpand.api import check_load

    proof = check_load(planned.plan, trust_remote_code=trust_remote_code)
    if not proof.skipped:
        return planned, proof
    finding = Finding(
        code=_SKIPPED,
        message=f"it isn't proven that the output loads: {proof.skipped}",
        advice="Load the output before you rely on it.",
    )
    return replace(planned, findings=(*planned.findings, finding)), proof


def wanted(check_load: bool | None) -> bool:
    """Whether `run` checks: as the user says, else where it can."""
    from distexpand.proof.check import can_prove

    return can_prove() if check_load is None else check_load
