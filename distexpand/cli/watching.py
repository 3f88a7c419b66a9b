"""Who is told how a run goes: the display for people, `--events` for programs, and the summary's count."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from distexpand.errors import DistexpandError, InterruptedRunError, StorageError, UsageError

if TYPE_CHECKING:
    from distexpand.pauses import Retry
    from distexpand.report.watching.events import EventWriter
    from distexpand.runner.progress import ProgressSink

STANDARD_ERROR = "-"
_DESCRIPTORS = ("/dev/", "/proc/")
"""What is open already, under any name: who redirects it to a file wants it there."""

events_option = click.option(
    "--events",
    metavar="FILE",
    help="Append what happens to FILE, one JSON object a line; `-` is standard error, in place of progress.",
)


@contextmanager
def writing_events(place: str | None) -> Iterator["EventWriter | None"]:
    """Open what `--events` names, and tell it how the work within ends.

    Raises:
        UsageError: it is a folder, or a file of something else.
        StorageError: the file can't be opened.
    """
    if place is None:
        yield None
        return
    if place != STANDARD_ERROR:
        _require_events(place)
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


def _require_events(place: str) -> None:
    """Refuse what events would spoil: a slip in the order of arguments names the recipe itself."""
    from distexpand.cluster.events import EVENT_START
    from distexpand.storage.address import empty_place

    if not place:
        raise empty_place()
    if os.path.isdir(place):  # noqa: PTH112  # false, not an error, for a name too long
        raise UsageError(f"--events {place!r}: a folder", hint="Name a file, or `-` for standard error.")
    if place.startswith(_DESCRIPTORS) or not os.path.isfile(place):  # noqa: PTH113  # as above
        return
    wanted = EVENT_START.encode()
    try:
        with open(place, "rb") as file:  # noqa: PTH123  # as above
            start = file.read(len(wanted))
    except OSError:  # a log that may only be appended to
        return
    if start and start != wanted:
        raise UsageError(
            f"--events {place}: holds something else than events",
            hint="Events are appended: name a new file, or one of an earlier run's events.",
        )


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
