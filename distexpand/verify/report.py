"""What verification found."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that isn't as it should be.

    `check` is the kind of check (`structure`, `content`, `sources`), `file` the output file,
    `tensor` the tensor's name or nothing.
    """

    check: str
    file: str
    tensor: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """All differences, in order, and how much was looked at."""

    differences: tuple[Difference, ...]
    checks: tuple[str, ...]
    tensors: int
    bytes_read: int
    layers: int

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        return {"ok": self.ok, **asdict(self)}
