"""The board: an actor on which attempts write how far they are, and which the driver reads.

Results never come this way: a report may be lost, late or of an attempt that
was given up. When the actor is gone, progress is unknown and the work goes on.
"""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was last heard of an attempt; `age` is seconds since."""

    node: str
    done_bytes: int
    age: float


class Board:
    """State of the actor: the last report of each attempt."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[str, int, float]] = {}

    def report(self, attempt: str, node: str, done_bytes: int) -> None:
        """Take an attempt's word."""
        self._reports[attempt] = (node, done_bytes, time.monotonic())

    def read(self) -> dict[str, Sighting]:
        """Return what was heard, by attempt."""
        now = time.monotonic()
        return {
            attempt: Sighting(node=node, done_bytes=done, age=now - when)
            for attempt, (node, done, when) in self._reports.items()
        }

    def forget(self, attempts: list[str]) -> None:
        """Drop what is known of attempts that are over."""
        for attempt in attempts:
            self._reports.pop(attempt, None)
