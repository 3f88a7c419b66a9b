"""How a run hears of an interrupt: the first ends it cleanly, the second at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distexpand.signals import told_to_end


@contextmanager
def stopping_on_signals() -> Iterator[threading.Event]:
    """Yield an event that the first interrupt or termination sets; the second raises."""
    stop = threading.Event()

    def told() -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with told_to_end(told):
        yield stop
