"""Progress for programs: one value at a time, handed to a function of theirs.

A run tells of every block, from all of its threads; a caller wants to be called some ten
times a second at most, one call at a time, with everything that a display needs.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from distexpand.errors import UsageError
from distexpand.report.watching.display import NoProgress, progress_display
from distexpand.runner.progress import ProgressSink

_BETWEEN_CALLS = 0.1
_FIRST_RATE = 0.2
_TOLD_BY = ("start", "shard_begun", "advance", "shard_done", "retried", "stop")

Stage: TypeAlias = Literal["run", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work is. Sizes are bytes, times seconds.

    `stage` is `run` while an output is written and `verify` while it is read. `done_bytes` and
    `shards_done` count what an earlier run did, too; `bytes_per_second` doesn't. `seconds_left` is
    unknown (`None`) at the beginning. `shard` is the shard that has its final name just now, or empty.
    """

    stage: Stage
    done_bytes: int
    total_bytes: int
    shards_done: int
    shards: int
    seconds: float
    bytes_per_second: float
    seconds_left: float | None
    shard: str = ""

    @property
    def share(self) -> float:
        """The part of the bytes that is done, from 0 to 1."""
        return self.done_bytes / self.total_bytes if self.total_bytes else 1.0


ProgressLike: TypeAlias = Callable[[Progress], object] | ProgressSink | bool | None
"""A function of a `Progress`, a display with a sink's methods, `True` for the command line's, or nothing."""


def sink_of(progress: ProgressLike, *, stage: Stage = "run") -> ProgressSink:
    """Return what a run tells of its progress.

    Raises:
        UsageError: it can't be told.
    """
    if progress is None or isinstance(progress, bool):
        return progress_display(quiet=not progress)
    if callable(progress):
        return CalledProgress(progress, stage=stage)
    missing = [name for name in _TOLD_BY if not callable(getattr(progress, name, None))]
    if missing:
        raise UsageError(
            f"progress={progress!r}: expected a function of a Progress, True, or a display with a sink's "
            f"methods; it has no {missing[0]}"
        )
    return progress


class CalledProgress(NoProgress):
    """Hands progress to a function: at the start, at every shard, at the end, and ten times a second at most.

    The function is called in whichever thread the progress was made, by one at a time. What it raises
    ends the work.
    """

    def __init__(
        self,
        call: Callable[[Progress], object],
        *,
        stage: Stage = "run",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call = call
        self._stage = stage
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = self._last = clock()
        self._total = self._done = self._earlier = self._shards = self._shards_done = 0
        self._stale = False

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""
        with self._lock:
            self._begun = self._clock()
            self._total, self._shards, self._shards_done = total_bytes, shards, shards_done
            self._done = self._earlier = done_bytes
            self._tell()

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written, or read, just now."""
        with self._lock:
            self._done += nbytes
            self._stale = True
            if self._clock() - self._last >= _BETWEEN_CALLS:
                self._tell()

    def shard_done(self, name: str) -> None:
        """Count a shard that is through."""
        with self._lock:
            self._shards_done += 1
            self._tell(name)

    def stop(self) -> None:
        """End, whether the work is done or not."""
        with self._lock:
            if self._stale:
                self._tell()

    def _tell(self, shard: str = "") -> None:
        self._last, self._stale = self._clock(), False
        seconds = self._last - self._begun
        rate = (self._done - self._earlier) / seconds if seconds > 0 else 0.0
        known = rate > 0 and seconds >= _FIRST_RATE
        self._call(
            Progress(
                stage=self._stage,
                done_bytes=self._done,
                total_bytes=self._total,
                shards_done=self._shards_done,
                shards=self._shards,
                seconds=seconds,
                bytes_per_second=rate,
                seconds_left=max(0.0, self._total - self._done) / rate if known else None,
                shard=shard,
            )
        )
