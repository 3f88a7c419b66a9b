"""Pauses before something is tried again: each is told, and ended by an interrupt.

Who waits lies deep in storage, in threads of several pools; who is told to stop, and who shows
progress, is the command far above. A context variable joins the two, and `thread_pool` carries it
into the threads that work for the same run. Rejected: a waiter handed down through every store,
reader and client, most of which never wait; and one for the whole process, since several runs may
be under way in it.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from distexpand.errors import InterruptedRunError

_LOOK_SECONDS = 0.1


class StopSignal(Protocol):
    """What tells the work to end; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether the work is to end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A request that failed and is made again in so many seconds.

    `place` and `reason` are words for people, free of secrets like those of errors.
    """

    place: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listening:
    stop: StopSignal | None = None
    told: Callable[[Retry], None] = lambda _: None


_NOBODY = _Listening()
_listening: ContextVar[_Listening] = ContextVar("_listening", default=_NOBODY)


@contextmanager
def pausing(*, stop: StopSignal | None = None, told: Callable[[Retry], None] | None = None) -> Iterator[None]:
    """Let pauses within end when `stop` is set, and tell of retries; what isn't given stays as it was."""
    outer = _listening.get()
    token = _listening.set(_Listening(stop=stop or outer.stop, told=told or outer.told))
    try:
        yield
    finally:
        _listening.reset(token)


def thread_pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool whose threads pause as the one that makes it."""
    return ThreadPoolExecutor(threads, initializer=_listening.set, initargs=(_listening.get(),))


def pause(seconds: float) -> None:
    """Wait.

    Raises:
        InterruptedRunError: the work is to end; at once where that is known already.
    """
    stop = _listening.get().stop
    if stop is None:
        time.sleep(seconds)
        return
    until = time.monotonic() + seconds
    while not stop.is_set():
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _LOOK_SECONDS))
    raise InterruptedRunError("interrupted", hint="Finished shards are kept; go on with --resume.")


def pause_to_retry(retry: Retry) -> None:
    """Tell of a request that is made again, and wait until then.

    Raises:
        InterruptedRunError: the work is to end.
    """
    _listening.get().told(retry)
    pause(retry.seconds)
