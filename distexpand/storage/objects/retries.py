"""When a failed request is made again, and when that has no sense any more.

Waits grow exponentially with jitter, so that many readers don't come back at once, and all of them
are in proportion to the time-out: who says that a server may be silent for a second only also wants
to be told soon. A server that says when it wants to be asked again is obeyed.
"""

import random
from collections.abc import Callable

from distexpand.pauses import Retry, pause_to_retry
from distexpand.storage.objects.troubles import Kind, Trouble

_FIRST_WAIT = 1 / 150
_FIRST_WAIT_IF_BUSY = 1 / 30
_LONGEST_WAIT = 1 / 2
_LONGEST_WAIT_IF_BUSY = 2
"""All in time-outs: by default from 0.2 s to 15 s, and from 1 s to a minute where the server is busy."""

_LONGEST_ASKED_WAIT = 20
"""In time-outs: beyond 10 minutes by default, it's for the user to decide when to try again."""

_ATTEMPTS = {Kind.BROKEN: 10, Kind.BUSY: 10, Kind.UNREACHABLE: 10, Kind.SILENT: 5}
_ATTEMPTS_TO_FIND_A_SERVER = 4
"""Where no request has ever succeeded, the address is wrong more often than the network."""


class Retries:
    """The failures of one request in a row, and how to go on after each."""

    def __init__(self, timeout: float, *, place: str, reached: Callable[[], bool]) -> None:
        """Start with none.

        Args:
            timeout: seconds without a byte after which a server counts as hanging.
            place: what is asked for, in words.
            reached: whether the server has ever answered.
        """
        self._timeout = timeout
        self._place = place
        self._reached = reached
        self.failures = 0

    def progressed(self) -> None:
        """Forget the failures: the request got on since."""
        self.failures = 0

    def wait(self, trouble: Trouble, asked: Callable[[], float | None]) -> bool:
        """Wait as long as is right after a failure; return whether to try again.

        Args:
            trouble: why it failed.
            asked: finds out for how many seconds a busy server wants to be left alone.

        Raises:
            InterruptedRunError: the work is to end.
        """
        self.failures += 1
        if self.failures >= self._attempts(trouble.kind):
            return False
        seconds = self._backoff(busy=trouble.kind is Kind.BUSY)
        if trouble.kind is Kind.BUSY:
            seconds = max(seconds, asked() or 0)
            if seconds > _LONGEST_ASKED_WAIT * self._timeout:
                return False
        pause_to_retry(Retry(place=self._place, reason=trouble.reason, seconds=seconds))
        return True

    def _attempts(self, kind: Kind) -> int:
        if kind is Kind.UNREACHABLE and not self._reached():
            return _ATTEMPTS_TO_FIND_A_SERVER
        return _ATTEMPTS.get(kind, 1)

    def _backoff(self, *, busy: bool) -> float:
        first, longest = (
            (_FIRST_WAIT_IF_BUSY, _LONGEST_WAIT_IF_BUSY) if busy else (_FIRST_WAIT, _LONGEST_WAIT)
        )
        waits = min(first * float(2 ** (self.failures - 1)), longest)
        return self._timeout * waits * random.uniform(0.5, 1.0)  # noqa: S311  # to keep clients apart
