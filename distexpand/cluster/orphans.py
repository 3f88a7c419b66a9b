"""Attempts that will never be committed: collected late, as a cut-off worker may still be writing there."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 30.0


class Orphans:
    """Removes attempts some time after they were given up; those left at the end go with the folder."""

    def __init__(self, attempts: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._attempts = attempts
        self._clock = clock
        self._since: dict[str, float] = {}

    def add(self, attempt: str) -> None:
        """Give an attempt up."""
        self._since.setdefault(attempt, self._clock())

    def collect(self) -> list[str]:
        """Remove those that were given up long enough ago, and return their names."""
        due = [name for name, since in self._since.items() if self._clock() - since > GRACE_SECONDS]
        for name in due:
            del self._since[name]
            with suppress(OSError):
                (self._attempts / name).unlink()
        return due
