"""One start's work on one expansion: make it, run its hooks, try again what may pass, note each step.

The caller holds the expansion's lock. Every step can be repeated: making goes
on with what is there, and a hook that is noted as done for this very output
isn't run again.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from distexpand.batch.child import Child
from distexpand.batch.document import Batch, Expansion
from distexpand.batch.hooks import Hook, run_hook
from distexpand.batch.making import Errand, Maker, explained, interrupted
from distexpand.batch.status import Entry, Failure, HookDone, Runner, State, now
from distexpand.batch.status_file import StatusFile
from distexpand.errors import OutputTakenError
from distexpand.report.sizes import duration_text

_MOST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a batch.

    `stop` ends it cleanly, `hurry` at once; `tell` takes a line for people. The pause before another try
    doubles from `pause_seconds`.
    """

    batch: Batch
    maker: Maker
    stop: threading.Event
    hurry: threading.Event
    tell: Callable[[str], None]
    pause_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """Why an attempt didn't come to its end."""

    failure: Failure
    may_pass: bool
    stopped: bool = False

    @property
    def taken(self) -> bool:
        """Whether a run that knows nothing of this batch is making the output."""
        return self.failure.kind == OutputTakenError.__name__


class Work:
    """The work on one expansion from the moment that its lock is held; `held` is the lock's descriptor."""

    def __init__(self, start: Start, expansion: Expansion, held: int) -> None:
        self._start = start
        self._expansion = expansion
        self._board = StatusFile(start.batch)
        self._child = Child(stop=start.stop, hurry=start.hurry, held=held, folder=start.batch.path.parent)
        self._runner = Runner(host=socket.gethostname(), pid=os.getpid())
        self._before = self._board.entry(expansion)
        self._started = time.monotonic()
        self._began = False

    def run(self) -> State:
        """Work until the expansion is done, given up, or the start is stopped; return its state.

        Raises:
            StorageError: the status can't be written.
        """
        for number in range(1, self._start.batch.retries + 2):
            self._note_running(number)
            trouble = self._attempt()
            if trouble is None:
                return self._end_done()
            if trouble.stopped:
                return self._end(State.INTERRUPTED, None)
            if trouble.taken:
                return self._end(State.ELSEWHERE, trouble.failure)
            if not trouble.may_pass or number > self._start.batch.retries:
                return self._end(State.FAILED, trouble.failure)
            if self._pause(number, trouble.failure):
                return self._end(State.INTERRUPTED, trouble.failure)
        raise AssertionError("the last try always ends the loop")

    def _note_running(self, number: int) -> None:
        self._note(
            lambda entry: replace(
                entry, state=State.RUNNING, doing="making", tries=number, runner=self._runner
            )
        )

    def _attempt(self) -> _Trouble | None:
        outcome = self._start.maker(self._errand())
        if outcome.failure is not None:
            stopped = outcome.code == interrupted().code and self._start.stop.is_set()
            return _Trouble(failure=explained(outcome.failure), may_pass=outcome.may_pass, stopped=stopped)
        self._note(lambda entry: replace(entry, plan=outcome.plan or entry.plan))
        for hook in self._expansion.after:
            trouble = self._after(hook, outcome.key)
            if trouble is not None:
                return trouble
        return None

    def _errand(self) -> Errand:
        return Errand(expansion=self._expansion, child=self._child, began=self._note_began, tell=self._tell)

    def _note_began(self, job: str, plan: str) -> None:
        """Note that there is something to make: what hooks did for an earlier output counts no more."""
        first, self._began = not self._began, True
        self._runner = replace(self._runner, job=job)
        self._note(
            lambda entry: replace(
                entry,
                plan=plan,
                hooks=(),
                runner=self._runner,
                started=now() if first else entry.started,
                ended="",
                seconds=0.0,
                error=None,
            )
        )
        if first:
            self._tell("being made" + (f" as {job}" if job else ""))

    def _after(self, hook: Hook, key: str) -> _Trouble | None:
        """Run a hook, unless it went well for this output already."""
        entry = self._note(lambda entry: replace(entry, doing=f"after: {hook.name}"))
        if any((done.hook, done.key) == (hook.name, key) for done in entry.hooks):
            return None
        if self._start.stop.is_set():
            return self._stopped()
        self._tell(f"after: {hook.name}")
        failed = run_hook(hook, self._values(), self._child)
        if failed is not None:
            if self._start.stop.is_set():
                return self._stopped()
            return _Trouble(failure=failed.failure, may_pass=failed.may_pass)
        done = HookDone(hook=hook.name, key=key, ended=now())
        self._note(lambda entry: replace(entry, hooks=(*entry.hooks, done)))
        return None

    def _values(self) -> dict[str, str]:
        expansion = self._expansion
        return {"output": str(expansion.output), "name": expansion.name, "recipe": str(expansion.recipe)}

    def _stopped(self) -> _Trouble:
        failure = interrupted().failure
        assert failure is not None
        return _Trouble(failure=failure, may_pass=True, stopped=True)

    def _pause(self, number: int, failure: Failure) -> bool:
        """Wait before the next try; return whether the start was stopped meanwhile."""
        longest = min(_MOST_PAUSE_SECONDS, self._start.pause_seconds * 2 ** (number - 1))
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311  # to keep starts apart, not a secret
        self._note(lambda entry: replace(entry, doing="waiting to try again", error=failure))
        self._tell(f"try {number} failed: {failure.message}; again in {duration_text(seconds)}")
        return self._start.stop.wait(seconds)

    def _end_done(self) -> State:
        if self._began:
            entry = self._end_entry(State.DONE, None)
            self._tell(f"done in {duration_text(entry.seconds)}")
        else:
            self._note(self._left_alone)
            self._tell("done already")
        return State.DONE

    def _left_alone(self, entry: Entry) -> Entry:
        """Return the entry of an output that was done already: whose work it was, and its times, stay."""
        before = self._before
        return replace(
            entry,
            state=State.DONE,
            doing="",
            error=None,
            tries=before.tries,
            runner=before.runner,
            ended=before.ended or now(),
        )

    def _end(self, state: State, failure: Failure | None) -> State:
        self._end_entry(state, failure)
        self._tell(f"{state}: {failure.message}" if failure else str(state))
        if failure is not None and failure.hint:
            self._tell(f"  {failure.hint}")
        return state

    def _end_entry(self, state: State, failure: Failure | None) -> Entry:
        seconds = round(time.monotonic() - self._started, 3)
        return self._note(
            lambda entry: replace(entry, state=state, doing="", error=failure, ended=now(), seconds=seconds)
        )

    def _note(self, change: Callable[[Entry], Entry]) -> Entry:
        return self._board.update(self._expansion, change)

    def _tell(self, words: str) -> None:
        self._start.tell(f"{self._expansion.name}: {' / '.join(words.splitlines())}")
