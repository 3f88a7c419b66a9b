"""A start of a batch: every expansion once, a few at a time, none that another start has in hand.

An expansion's lock is tried and never waited for, so that two starts share
the list between them. What was in another's hands is looked at again at the
end: it may be done by then, or its start may have died. Only with `wait` is
it waited for.

Rejected: a list of who does what in the status file. It would have to be
believed, and a start that was killed can't take its name off it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from distexpand.batch.document import Batch, Expansion
from distexpand.batch.locks import lock_path, trying_lock
from distexpand.batch.status import State, Status
from distexpand.batch.status_file import StatusFile
from distexpand.batch.work import Start, Work
from distexpand.errors import InterruptedRunError

TEMPFAIL = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, call again later."""

_MOST_AGAIN_SECONDS = 10


def run_batch(start: Start, *, wait: bool) -> Status:
    """Work through a batch and return its status as this start leaves it.

    Args:
        start: what to run, and how.
        wait: wait for what other starts have in hand, and take it over if they die.

    Raises:
        UsageError: the status file is something else.
        StorageError: the status can't be kept.
    """
    board = StatusFile(start.batch)
    board.open()
    states: dict[Path, State] = {}
    waiting: Sequence[Expansion] = start.batch.expansions
    looks = 0
    while waiting and not start.stop.is_set() and (wait or looks < 2):  # noqa: PLR2004
        if looks > 1:
            start.stop.wait(min(looks, _MOST_AGAIN_SECONDS))
        states |= _one_look(start, waiting, first=looks == 0)
        waiting = [entry for entry in waiting if states.get(entry.output) is State.ELSEWHERE]
        looks += 1
    return _as_left(board, start.batch, states)


def exit_code(status: Status, *, stopped: bool) -> int:
    """Return the exit code that tells a scheduler what to do next."""
    if status.count(State.DONE) == len(status.expansions):
        return 0
    if stopped:
        return InterruptedRunError.exit_code
    return 1 if status.count(State.FAILED) else TEMPFAIL


def _one_look(start: Start, waiting: Sequence[Expansion], *, first: bool) -> dict[Path, State]:
    """Work on each expansion that is free; return the state of all that were looked at."""
    with ThreadPoolExecutor(start.batch.at_once, thread_name_prefix="batch") as pool:
        futures = {entry.output: pool.submit(_work_on, start, entry, first) for entry in waiting}
        try:
            found = {output: future.result() for output, future in futures.items()}
        except BaseException:
            start.stop.set()
            raise
    return {output: state for output, state in found.items() if state is not None}


def _work_on(start: Start, expansion: Expansion, first: bool) -> State | None:
    """Work on an expansion; `ELSEWHERE` if another holds it, nothing if the start was stopped before."""
    if start.stop.is_set():
        return None
    with trying_lock(lock_path(start.batch, expansion)) as held:
        if held is None:
            if first:
                start.tell(f"{expansion.name}: another start has it in hand")
            return State.ELSEWHERE
        return Work(start, expansion, held).run()


def _as_left(board: StatusFile, batch: Batch, states: dict[Path, State]) -> Status:
    """Return the status with this start's own view of each expansion."""
    status = board.true_state()
    entries = (
        replace(entry, state=states.get(expansion.output, entry.state))
        for expansion, entry in zip(batch.expansions, status.expansions, strict=True)
    )
    return replace(status, expansions=tuple(entries))
