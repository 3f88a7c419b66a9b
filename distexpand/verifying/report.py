"""What verification found."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from distexpand.errors import DistexpandError, VerificationError

if TYPE_CHECKING:
    from distexpand.running.comparison import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that isn't as it should be.

    `check` is the kind of check (`structure`, `content`, `sources`, `load`, `identity`), `file` the
    output file, `tensor` the tensor's name or nothing.
    """

    check: str
    file: str
    tensor: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """All differences, in order, and how much was looked at.

    `notes` are what is odd about the output without being wrong; `unrecorded` counts tensors
    that were read but that the manifest has no digest of. `comparison` is how far the output's
    logits are from its base model's, where that was asked for.
    """

    differences: tuple[Difference, ...]
    checks: tuple[str, ...]
    tensors: int
    bytes_read: int
    layers: int
    notes: tuple[str, ...] = ()
    unrecorded: int = 0
    comparison: "Comparison | None" = None

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        document = {"ok": self.ok, **asdict(replace(self, comparison=None))}
        del document["comparison"]
        return document | ({} if self.comparison is None else {"identity": self.comparison.to_json()})


def require_ok(report: VerifyReport, output: object) -> None:
    """Raise what was found.

    Raises:
        VerificationError: something differs.
    """
    if report.ok:
        return
    first = report.differences[0]
    where = f"{first.file}: {first.tensor}" if first.tensor else first.file
    count = len(report.differences)
    raise VerificationError(
        f"{output}: {where}: {first.message}" if where else f"{output}: {first.message}",
        hint=f"{count} {'difference' if count == 1 else 'differences'} in all; "
        "`distexpand verify OUT --json` lists them.",
    )


def reason(error: DistexpandError, location: str, file: str) -> str:
    """Return an error's message without the place at its front: a difference names its file itself."""
    return error.message.removeprefix(f"{location}/{file}: ").removeprefix(f"{location}: ")
