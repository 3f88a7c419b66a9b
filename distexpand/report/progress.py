"""Progress of a run, on standard error.

Three displays with the same four methods, chosen once: a live one for a
terminal (`progress_live`), lines for logs, and none. Standard output is left
alone, since `--json` owns it. Methods may be called from any thread, at every
block of a copy, and cost a lock and an addition.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from distexpand.report.progress_live import LiveProgress
from distexpand.report.sizes import bytes_text, duration_text, plural, rate_text, remaining_text, share_text

_BETWEEN_LINES = 10.0
_AT_LATEST = 60.0
_STEP = 0.1


class NoProgress:
    """Says nothing (`--quiet`)."""

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""

    def stop(self) -> None:
        """End, whether the work is done or not."""


class LineProgress:
    """A line now and then, for logs and pipes.

    At most one in 10 seconds: when another tenth of the work is done, or a minute has
    passed. One more at the end.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = self._last_time = clock()
        self._total = self._done = self._earlier = self._last_done = 0
        self._shards = self._shards_done = 0

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""
        with self._lock:
            self._begun = self._last_time = self._clock()
            self._total, self._shards, self._shards_done = total_bytes, shards, shards_done
            self._done = self._earlier = self._last_done = done_bytes

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""
        with self._lock:
            self._done += nbytes
            now = self._clock()
            waited = now - self._last_time
            further = self._done - self._last_done >= _STEP * self._total
            if waited >= _AT_LATEST or (waited >= _BETWEEN_LINES and further):
                self._write_line(now)

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""
        del name
        with self._lock:
            self._shards_done += 1

    def stop(self) -> None:
        """End with one more line (if there was a start), whether the work is done or not."""
        with self._lock:
            if self._shards:
                self._write_line(self._clock())

    def _write_line(self, now: float) -> None:
        self._last_time, self._last_done = now, self._done
        elapsed = now - self._begun
        rate = (self._done - self._earlier) / elapsed if elapsed > 0 else 0.0
        left = self._total - self._done
        ending = f"in {duration_text(elapsed)}" if left <= 0 or rate == 0 else remaining_text(left / rate)
        line = (
            f"{share_text(self._done, self._total)}  {bytes_text(self._done)} of {bytes_text(self._total)}  "
            f"{rate_text(rate)}  {self._shards_done} of {plural(self._shards, 'shard')}  {ending}\n"
        )
        with contextlib.suppress(OSError):  # a full log costs lines, not the work
            self._stream.write(line)
            self._stream.flush()


ProgressDisplay: TypeAlias = LiveProgress | LineProgress | NoProgress


def progress_display(*, quiet: bool, stream: TextIO | None = None) -> ProgressDisplay:
    """Return the display that suits the stream: standard error, if none is given and it isn't closed."""
    stream = sys.stderr if stream is None else stream
    if quiet or stream is None:
        return NoProgress()
    return LiveProgress(stream) if stream.isatty() else LineProgress(stream)
