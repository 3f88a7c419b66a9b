"""Signals that ask a process to end, for the time of a block."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def told_to_end(told: Callable[[], object], *, hangup: bool = False) -> Iterator[None]:
    """Call `told` at each interrupt or termination, whatever handled them before.

    Args:
        told: called in the main thread, between two of its steps; what it raises is raised there.
        hangup: also at the end of the terminal, unless that is ignored already (nohup).
    """

    def handle(_signal: int, _frame: FrameType | None) -> None:
        told()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def told_to_end_at_once(told: Callable[[], object]) -> Iterator[None]:
    """Call `told` at each interrupt or termination in a thread of its own, whatever the main one is at.

    Python itself handles a signal between two steps of the main thread, which may be waiting inside
    a library for a server that hangs.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    ending = {signal.SIGINT, signal.SIGTERM}

    def listen() -> None:
        while number := os.read(reading, 1):
            if number[0] in ending:
                told()

    listener = threading.Thread(target=listen, daemon=True, name="signals")
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener.start()
    try:
        with told_to_end(lambda: None):
            yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        listener.join()
        os.close(reading)
