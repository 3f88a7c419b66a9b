"""What `local_speed` measured, as data: it is printed, kept as JSON and drawn."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One timed run, until all is on the disk. The bytes read and written are the kernel's count."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    read_bytes: int
    written_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SideResult:
    """All runs of one side, and in `problem` why there are none or no more."""

    name: str
    runs: tuple[Run, ...]
    problem: str = ""

    def median(self, figure: str) -> float:
        """Return the median over the runs of one of a run's figures."""
        return float(statistics.median(getattr(run, figure) for run in self.runs))

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Median, least and most seconds."""
        every = [run.seconds for run in self.runs]
        return statistics.median(every), min(every), max(every)

    @property
    def moved_rate(self) -> float:
        """Bytes read and written a second, by the medians."""
        return (self.median("read_bytes") + self.median("written_bytes")) / self.median("seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """All sides of one case.

    `read_each_bytes` is what the plan's operations read, `read_once_bytes` the source bytes
    among them without repeats, `data_bytes` what has to be written, `output_bytes` that and
    the tensors of zeros.
    """

    name: str
    shape: str
    layers: tuple[int, int]
    read_each_bytes: int
    read_once_bytes: int
    data_bytes: int
    output_bytes: int
    sides: tuple[SideResult, ...]

    def fastest(self, *beginnings: str) -> SideResult | None:
        """Return the side of the least median whose name begins in one of some ways."""
        found = [side for side in self.sides if side.runs and side.name.startswith(beginnings)]
        return min(found, key=lambda side: side.median("seconds"), default=None)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Return what a JSON object says."""
        sides = tuple(
            SideResult(**side | {"runs": tuple(Run(**run) for run in side["runs"])})
            for side in document["sides"]
        )
        return cls(**document | {"layers": tuple(document["layers"]), "sides": sides})


def save(path: Path, cases: Sequence[CaseResult]) -> None:
    """Write cases as JSON."""
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")


def load(path: Path) -> list[CaseResult]:
    """Return what `save` wrote."""
    return [CaseResult.of(document) for document in json.loads(path.read_text())]
