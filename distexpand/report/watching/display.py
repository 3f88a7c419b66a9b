"""Progress of a run, on standard error.

Three displays with the same methods, chosen once: a live one for a terminal
(`live`), lines for logs, and none. Standard output is left
alone, since `--json` owns it. Methods may be called from any thread, at every
block of a copy, and cost a lock and an addition.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from distexpand.pauses import Retry
from distexpand.report.watching.live import LiveProgress
from distexpand.report.watching.state import ProgressState
from distexpand.report.watching.words import line_words

_BETWEEN_LINES = 10.0
_AT_LATEST = 60.0
_STEP = 0.1


class NoProgress:
    """Says nothing (`--quiet`)."""

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""

    def shard_begun(self, name: str) -> None:
        """Note what is being made."""

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""

    def retried(self, retry: Retry) -> None:
        """Count something that is tried again."""

    def note(self, text: str) -> None:
        """Take a line that the user should see."""

    def stop(self) -> None:
        """End, whether the work is done or not."""


class LineProgress:
    """A line now and then, for logs and pipes.

    At most one in 10 seconds: when another tenth of the work is done, a minute has passed, or
    something has to be tried again. One more at the end.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._state = ProgressState(clock)
        self._last_time = clock()
        self._total = self._last_done = self._done = 0
        self._began = False

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Begin; `done_bytes` and `shards_done` were done by an earlier run."""
        self._state.start(
            total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done
        )
        with self._lock:
            self._began = shards > 0
            self._last_time = self._clock()
            self._total, self._done, self._last_done = total_bytes, done_bytes, done_bytes

    def advance(self, nbytes: int) -> None:
        """Count bytes that were written just now."""
        done = self._state.advance(nbytes)
        with self._lock:
            self._done = done
            waited = self._clock() - self._last_time
            further = done - self._last_done >= _STEP * self._total
            if waited >= _AT_LATEST or (waited >= _BETWEEN_LINES and further):
                self._write_line()

    def shard_begun(self, name: str) -> None:
        """Note what is being made."""
        self._state.shard_begun(name)

    def shard_done(self, name: str) -> None:
        """Count a shard that has its final name."""
        self._state.shard_done(name)

    def retried(self, retry: Retry) -> None:
        """Count something that is tried again; a run that stands still for it is heard of."""
        self._state.retried(retry)
        with self._lock:
            if self._began and self._clock() - self._last_time >= _BETWEEN_LINES:
                self._write_line()

    def note(self, text: str) -> None:
        """Write a line."""
        with self._lock:
            self._write(text)

    def stop(self) -> None:
        """End with one more line (if there was a start), whether the work is done or not."""
        self._state.stop()
        with self._lock:
            if self._began:
                self._write_line()

    def _write_line(self) -> None:
        self._last_time, self._last_done = self._clock(), self._done
        self._write(line_words(self._state.figures()))

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full log costs lines, not the work
            self._stream.write(f"{text}\n")
            self._stream.flush()


ProgressDisplay: TypeAlias = LiveProgress | LineProgress | NoProgress


def progress_display(*, quiet: bool, stream: TextIO | None = None) -> ProgressDisplay:
    """Return the display that suits the stream: standard error, if none is given and it isn't closed."""
    stream = sys.stderr if stream is None else stream
    if quiet or stream is None:
        return NoProgress()
    return LiveProgress(stream) if stream.isatty() else LineProgress(stream)
