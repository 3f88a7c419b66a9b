"""Progress of a run on a cluster, from its events, on standard error.

As for a run on this machine (`progress`): a live display for a terminal, lines for
logs and pipes, and none. What needs a person's eye (a lost attempt, a shard begun
twice, a note) is a line of its own in both.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from distexpand.cluster.events import (
    AttemptLost,
    Event,
    Progressed,
    Retried,
    RunBegan,
    RunEnded,
    ShardDone,
)
from distexpand.pauses import Retry
from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.watching.cluster_progress_live import LiveClusterProgress
from distexpand.report.watching.cluster_words import event_words
from distexpand.report.watching.display import LineProgress

_PAUSE = 0.5


class NoClusterProgress:
    """Says nothing (`--quiet`)."""

    def note(self, text: str) -> None:
        """Take a line that the user should see."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def other(self, line: str) -> None:
        """Take a line of the log that is no event."""

    def stop(self) -> None:
        """End, whether the run is over or not."""


class LineClusterProgress:
    """A line now and then and one for each event that matters; may be called from any thread.

    Who comes back to a job gets its past in one burst. Rate and lines begin where the burst ends, at the
    first pause; what never pauses has one line at its end.
    """

    def __init__(
        self, stream: TextIO, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to `stream`; `verbose` also the log's other lines."""
        self._stream = stream
        self._verbose = verbose
        self._clock = clock
        self._lock = threading.Lock()
        self._now = self._last = clock()
        self._lines = LineProgress(stream, clock=lambda: self._now)
        self._began: RunBegan | None = None
        self._seconds: float | None = None
        self._begun_at = self._now
        self._done = self._shards_done = 0
        self._started = False

    def show(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            now = self._clock()
            if now - self._last >= _PAUSE and self._began is not None:
                self._start(at=self._last)
            self._now = self._last = now
            self._take(event)
            words = event_words(event)
            if words:
                self._write(words)

    def _take(self, event: Event) -> None:
        match event:
            case RunBegan():
                self._began = event
                self._begun_at = self._last
                self._done, self._shards_done = event.done_bytes, event.shards_done
            case Progressed():
                self._reach(event.done_bytes)
            case ShardDone():
                self._shards_done += 1
                if self._started:
                    self._lines.shard_done(event.shard)
            case RunEnded():
                self._seconds = event.seconds
                if not event.exit_code and self._began is not None:
                    self._reach(self._began.total_bytes)
            case AttemptLost(retry=True) | Retried():
                place = event.place if isinstance(event, Retried) else event.node
                self._lines.retried(Retry(place=place, reason=event.reason, seconds=0.0))
            case _:
                pass

    def _start(self, *, at: float) -> None:
        if self._began is not None and not self._started:
            self._started = True
            self._now = at
            self._lines.start(
                total_bytes=self._began.total_bytes,
                done_bytes=self._done,
                shards=self._began.shards,
                shards_done=self._shards_done,
            )

    def _reach(self, done_bytes: int) -> None:
        """Bytes of an attempt that was lost are counted down as well."""
        if self._started and done_bytes != self._done:
            self._lines.advance(done_bytes - self._done)
        self._done = done_bytes

    def other(self, line: str) -> None:
        """Take a line of the log that is no event."""
        if self._verbose:
            with self._lock:
                self._write(printable(line, UNICODE))

    def note(self, text: str) -> None:
        """Write a line."""
        with self._lock:
            self._write(text)

    def stop(self) -> None:
        """End with one more line (if the run began), whether it is over or not."""
        with self._lock:
            if self._began is not None and not self._started:
                self._catch_up(self._began)
            self._lines.stop()

    def _catch_up(self, began: RunBegan) -> None:
        """Let the one line of a run that was over when it was looked at have the run's own time."""
        done, self._done = self._done, began.done_bytes
        self._start(at=self._begun_at)
        self._lines.advance(done - began.done_bytes)
        self._now = self._begun_at + self._seconds if self._seconds is not None else self._last

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full log costs lines, not the work
            self._stream.write(f"{text}\n")
            self._stream.flush()


ClusterDisplay: TypeAlias = LiveClusterProgress | LineClusterProgress | NoClusterProgress


def cluster_display(*, quiet: bool, verbose: bool = False, stream: TextIO | None = None) -> ClusterDisplay:
    """Return the display that suits the stream: standard error, if none is given and it isn't closed."""
    stream = sys.stderr if stream is None else stream
    if quiet or stream is None:
        return NoClusterProgress()
    if stream.isatty():
        return LiveClusterProgress(stream, verbose=verbose)
    return LineClusterProgress(stream, verbose=verbose)
