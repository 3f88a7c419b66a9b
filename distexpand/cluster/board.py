"""The board: an actor on which attempts write how far they are, and which the driver reads.

Results never come this way: a report may be lost, late or of an attempt that
was given up. When the actor is gone, progress is unknown and the work goes on.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was last heard of an attempt; `age` is seconds since, `stalled` since its bytes last grew."""

    node: str
    done_bytes: int
    age: float
    stalled: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the board knows; `age` is seconds since it began, as one that was restarted has forgotten all."""

    age: float
    sightings: Mapping[str, Sighting]


class Board:
    """State of the actor: the last report of each attempt."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._reports: dict[str, tuple[str, int, float, float]] = {}

    def report(self, attempt: str, node: str, done_bytes: int) -> None:
        """Take an attempt's word."""
        now = time.monotonic()
        _, before, _, grown = self._reports.get(attempt, ("", -1, now, now))
        self._reports[attempt] = (node, done_bytes, now, now if done_bytes > before else grown)

    def read(self) -> Look:
        """Return what was heard, by attempt."""
        now = time.monotonic()
        sightings = {
            attempt: Sighting(node=node, done_bytes=done, age=now - heard, stalled=now - grown)
            for attempt, (node, done, heard, grown) in self._reports.items()
        }
        return Look(age=now - self._began, sightings=sightings)

    def forget(self, attempts: list[str]) -> None:
        """Drop what is known of attempts that are over."""
        for attempt in attempts:
            self._reports.pop(attempt, None)
