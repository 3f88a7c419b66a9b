"""Ctrl-C in a script, and `Interrupt` in a notebook, end a run as they end the command line's: cleanly.

Python's own way is to raise between any two steps of the main thread, which may be those that commit a
shard. Here the first interrupt lets the blocks under way end and keeps every shard that is whole; the
second raises at once. Only where Python's own handler is in charge: an application that has one of its
own, or calls from another thread, stops a run by its event.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from distexpand.errors import InterruptedRunError


@contextmanager
def interruptible(stop: threading.Event | None) -> Iterator[threading.Event]:
    """Yield the event that ends a run: the caller's, or one of its own; an interrupt sets it.

    Raises:
        KeyboardInterrupt: the run ended after an interrupt; says how to go on.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is not threading.main_thread() or not _is_pythons_own():
        yield stop
        return
    interrupted = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        stop.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    except InterruptedRunError as error:
        if interrupted:
            raise KeyboardInterrupt(f"{error.message}; go on with resume=True") from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


def _is_pythons_own() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
