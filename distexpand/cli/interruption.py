"""How a command hears of an interrupt: the first ends it cleanly, the second at once.

What is left by a command that is ended at once is what a killed one leaves, and as good for going on.
"""

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from distexpand.errors import InterruptedRunError
from distexpand.signals import told_to_end, told_to_end_at_once

STOPPING = "stopping after the blocks under way; interrupt again to stop at once"

_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def stopping_on_signals(
    told: Callable[[str], object] = lambda _: None, *, how_to_go_on: str = ""
) -> Iterator[threading.Event]:
    """Yield an event that the first interrupt or termination sets; the second ends the process.

    Args:
        told: takes what happens at the first, in words; called in another thread.
        how_to_go_on: said at the end.
    """
    stop = threading.Event()

    def heard() -> None:
        if stop.is_set():
            _leave(how_to_go_on)
        stop.set()
        told(STOPPING)

    with told_to_end_at_once(heard):
        yield stop


@contextmanager
def raising_on_signals(told: Callable[[str], object] = lambda _: None) -> Iterator[threading.Event]:
    """Yield an event that the first interrupt or termination sets; the second raises in the main thread.

    For who has to take down more than this process.
    """
    stop = threading.Event()

    def heard() -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        told("stopping; interrupt again to stop at once")

    with told_to_end(heard):
        yield stop


def _leave(how_to_go_on: str) -> None:
    """End the process now: its threads may be waiting for what never comes.

    Written past Python's streams, whose locks those threads may hold.
    """
    cursor = _SHOW_CURSOR if os.isatty(2) else ""
    text = f"{cursor}\nerror: stopped at once\n" + (f"  {how_to_go_on}\n" if how_to_go_on else "")
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))
    os._exit(InterruptedRunError.exit_code)


def how_to_resume(arguments: Sequence[str] | None = None) -> str:
    """Return the command that goes on with the one that was called: by default, with this process's."""
    given = sys.argv[1:] if arguments is None else arguments
    kept = [text for text in given if text not in {"--overwrite", "--resume"}]
    end = kept.index("--") if "--" in kept else len(kept)
    command = shlex.join(["distexpand", *kept[:end], "--resume", *kept[end:]])
    again = ", with the same recipe on standard input" if "-" in kept else ""
    return f"Go on with: {command}{again}"


@contextmanager
def saying_how_to_resume(how: str) -> Iterator[None]:
    """Have the error of an interrupted run say exactly how to go on.

    Raises:
        InterruptedRunError: the run was interrupted.
    """
    try:
        yield
    except InterruptedRunError as error:
        raise InterruptedRunError(error.message, hint=how) from None
