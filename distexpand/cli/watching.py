"""Who is told how a run goes: the display for people, `--events` for programs, and the summary's count."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from distexpand.errors import DistexpandError, InterruptedRunError, StorageError

if TYPE_CHECKING:
    from distexpand.pauses import Retry
    from distexpand.report.watching.events import EventWriter
    from distexpand.runner.progress import ProgressSink

STANDARD_ERROR = "-"

events_option = click.option(
    "--events",
    metavar="FILE",
    help="Append what happens to FILE, one JSON object a line; `-` is standard error, in place of progress.",
)


@contextmanager
def writing_events(place: str | None) -> Iterator["EventWriter | None"]:
    """Open what `--events` names, and tell it how the work within ends.

    Raises:
        StorageError: the file can't be opened.
    """
    if place is None:
        yield None
        return
    from distexpand.report.watching.events import EventWriter

    with ExitStack() as stack:
        writer = EventWriter(stack.enter_context(_opened(place)))
        try:
            yield writer
        except DistexpandError as error:
            writer.ended(error, exit_code=error.exit_code)
            raise
        except KeyboardInterrupt:
            stopped = InterruptedRunError("interrupted")
            writer.ended(stopped, exit_code=stopped.exit_code)
            raise
        writer.ended(None, exit_code=0)


@contextmanager
def _opened(place: str) -> Iterator[TextIO]:
    try:
        # A descriptor of its own: what closes it leaves standard error alone.
        stream = open(os.dup(2) if place == STANDARD_ERROR else place, "a", encoding="utf-8")  # noqa: PTH123,SIM115
    except OSError as error:
        raise StorageError(f"--events {place}: can't write: {error.strerror}") from None
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):  # a full disk costs events, not the work
            stream.close()


class Several:
    """Several who are told the same."""

    def __init__(self, sinks: Sequence["ProgressSink"]) -> None:
        self._sinks = tuple(sinks)

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Pass on that there is something to do."""
        for sink in self._sinks:
            sink.start(total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done)

    def advance(self, nbytes: int) -> None:
        """Pass bytes on."""
        for sink in self._sinks:
            sink.advance(nbytes)

    def shard_begun(self, name: str) -> None:
        """Pass on what is being made."""
        for sink in self._sinks:
            sink.shard_begun(name)

    def shard_done(self, name: str) -> None:
        """Pass on what is made."""
        for sink in self._sinks:
            sink.shard_done(name)

    def retried(self, retry: "Retry") -> None:
        """Pass on what is tried again."""
        for sink in self._sinks:
            sink.retried(retry)

    def stop(self) -> None:
        """Pass on that it is over."""
        for sink in self._sinks:
            sink.stop()


class Counted(Several):
    """As the others, and counts the bytes that this run puts in place.

    `started` says whether there was anything to do.
    """

    def __init__(self, *sinks: "ProgressSink") -> None:
        super().__init__(sinks)
        self.bytes_done = 0
        self.started = False
        self._lock = threading.Lock()

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        """Pass on that there is something to do."""
        self.started = True
        super().start(total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done)

    def advance(self, nbytes: int) -> None:
        """Count and pass on."""
        with self._lock:
            self.bytes_done += nbytes
        super().advance(nbytes)
