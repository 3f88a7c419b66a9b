"""Events to a job's log, a line at once, few enough for a run of days.

The log is what a client reads to follow, from its beginning whenever it comes
back. Progress is told every second at first and ever less often: a run of a day
on 16 workers leaves some 40 MB instead of 200.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from distexpand.cluster.events import Event, Progressed, RunBegan, decode_event, encode_event

_SHORTEST, _LONGEST = 1.0, 5.0
_GROWTH = 0.01
_START = '{"event":'


class EventLog:
    """An event sink that writes lines; may be called from any thread.

    `began` is the event that said what is to be done, once it was told.
    """

    def __init__(
        self,
        run: str,
        *,
        write: Callable[[bytes], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to standard output, unless told where."""
        self.began: RunBegan | None = None
        self._run = run
        self._write = write or _write_whole
        self._clock = clock
        self._begun = self._last = clock()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write an event, or leave it out if it is progress and the last one is too young."""
        with self._lock:
            if isinstance(event, RunBegan):
                self.began = event
            if isinstance(event, Progressed):
                if not self._due():
                    return
                if self.began is not None:
                    event = replace(event, total_bytes=self.began.total_bytes)
            self._write(encode_event(event, run=self._run).encode() + b"\n")

    def _due(self) -> bool:
        now = self._clock()
        between = min(_LONGEST, max(_SHORTEST, _GROWTH * (now - self._begun)))
        if now - self._last < between * 0.9:
            return False
        self._last = now
        return True


def read_line(line: str) -> tuple[str, Event | None]:
    """Return what is in a line of a log beside its event, and the event, if it holds one.

    An event ends its line, but begins it only if nobody has printed half a line before.
    """
    place = line.find(_START)
    event = decode_event(line[place:]) if place >= 0 else None
    return (line, None) if event is None else (line[:place], event)


def _write_whole(line: bytes) -> None:
    """Write past Python's buffer, in one go: what other threads print can't come in between.

    A full disk of the head's costs lines of the log, not the run.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        left = memoryview(line)
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
