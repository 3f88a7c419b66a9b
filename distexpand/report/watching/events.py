"""Progress for programs: one JSON object a line, as a job on a cluster writes it to its log.

The format is that of `cluster.events`, so that one reader does for both. A stream that is full or
closed costs events, never the work.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from distexpand.cluster.events import (
    Event,
    Progressed,
    Retried,
    RunBegan,
    RunEnded,
    ShardBegan,
    ShardDone,
    encode_event,
)
from distexpand.errors import DistexpandError
from distexpand.pauses import Retry
from distexpand.report.watching.state import ProgressState

_BETWEEN_SECONDS = 1.0


class EventWriter:
    """Writes the events of one run; may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._run = f"run-{secrets.token_hex(4)}"
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._began = False

    def show(self, event: Event) -> None:
        """Write an event."""
        self._began |= isinstance(event, RunBegan)
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(encode_event(event, run=self._run) + "\n")
            self._stream.flush()

    def ended(self, error: DistexpandError | None, *, exit_code: int) -> None:
        """Write how the run ended; one that never began had nothing to do, or failed before."""
        self.show(
            RunEnded(
                exit_code=exit_code,
                kind=type(error).__name__ if error else "",
                message=error.message if error else "",
                hint=error.hint if error else "",
                seconds=round(time.monotonic() - self._started, 3),
                made=self._began and exit_code == 0,
            )
        )


class EventProgress:
    """The events of a run on this machine: a progress display without a picture."""

    def __init__(self, writer: EventWriter, *, output: str, plan: str, sizes: Mapping[str, int]) -> None:
        """Write to `writer`; `plan` is the plan's digest, `sizes` the bytes of each shard."""
        self._writer = writer
        self._output, self._plan, self._sizes = output, plan, sizes
        self._state = ProgressState()
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._begun: dict[str, float] = {}

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Tell of the beginning."""
        self._state.start(
            total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done
        )
        self._writer.show(
            RunBegan(
                output=self._output,
                plan=self._plan,
                total_bytes=total_bytes,
                done_bytes=done_bytes,
                shards=shards,
                shards_done=shards_done,
            )
        )

    def advance(self, nbytes: int) -> None:
        """Count bytes, and tell of them about once a second."""
        self._state.advance(nbytes)
        with self._lock:
            now = time.monotonic()
            due = now - self._last >= _BETWEEN_SECONDS
            if due:
                self._last = now
        if due:
            self._writer.show(self._progressed())

    def shard_begun(self, name: str) -> None:
        """Tell of a shard that is being made."""
        self._state.shard_begun(name)
        self._begun[name] = time.monotonic()
        self._writer.show(ShardBegan(shard=name))

    def shard_done(self, name: str) -> None:
        """Tell of a shard that has its final name."""
        self._state.shard_done(name)
        seconds = time.monotonic() - self._begun.pop(name, time.monotonic())
        size = self._sizes.get(name, 0)
        self._writer.show(ShardDone(shard=name, attempt="", node="", size=size, seconds=round(seconds, 3)))

    def retried(self, retry: Retry) -> None:
        """Tell of a request that is made again."""
        self._state.retried(retry)
        self._writer.show(Retried(place=retry.place, reason=retry.reason, seconds=round(retry.seconds, 3)))

    def stop(self) -> None:
        """Tell how far it came."""
        self._state.stop()
        self._writer.show(self._progressed())

    def _progressed(self) -> Progressed:
        figures = self._state.figures()
        return Progressed(
            done_bytes=figures.done_bytes,
            workers=(),
            total_bytes=figures.total_bytes,
            shards_done=figures.shards_done,
            rate=round(figures.now or 0.0, 1),
            average_rate=round(figures.average or 0.0, 1),
            retries=figures.retries,
        )
