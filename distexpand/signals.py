"""Signals that ask a process to end, for the time of a block."""

import signal
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
