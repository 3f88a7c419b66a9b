"""Making an expansion here: `distexpand run` in a process of its own."""

import json
import threading
from dataclasses import dataclass

from distexpand.batch.child import Ended, own_command, run_child
from distexpand.batch.making import Errand, Outcome, interrupted, recorded_plan
from distexpand.batch.status import Failure
from distexpand.errors import InterruptedRunError, OutputError, UsageError
from distexpand.planning.layout import Layout

_STOP_MAY_FOLLOW_SECONDS = 1.0
_SHOWN_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMaker:
    """Runs expansions on this machine; `threads` blocks at once in each."""

    threads: int

    def __call__(self, errand: Errand) -> Outcome:
        """Make an expansion, or go on with it."""
        before = recorded_plan(errand.expansion.output)
        if not before:
            errand.began("", "")
        ended = self._run(errand, "--resume")
        if ended.code == UsageError.exit_code and errand.expansion.overwrite:
            # Overwriting refuses again whatever was wrong with the call, before it removes anything.
            ended = self._run(errand, "--overwrite")
        elif before and errand.expansion.overwrite and _is_incomplete(ended):
            errand.began("", "")
            ended = self._run(errand, "--overwrite")
        if ended.code != 0:
            return _failed(ended, errand.child.stop)
        plan = recorded_plan(errand.expansion.output)
        if before and plan != before:
            errand.began("", "")
        return Outcome(code=0, plan=plan, key=plan)

    def _run(self, errand: Errand, mode: str) -> Ended:
        expansion = errand.expansion
        command = [*own_command(), "run", str(expansion.recipe), str(expansion.output)]
        for name, path in expansion.models.items():
            command += ["--model", f"{name}={path}" if name else path]
        if expansion.shard_size is not None:
            command += ["--shard-size", str(expansion.shard_size)]
        if expansion.layout is not Layout.LAYERS:
            command += ["--layout", expansion.layout.value]
        command += [mode, "--threads", str(self.threads), "--quiet", "--json"]
        return run_child(command, errand.child, apart=True)


def _is_incomplete(ended: Ended) -> bool:
    """Whether a finished output was refused because a file of it is missing or of another size."""
    return ended.code == OutputError.exit_code and _failure(ended).kind == OutputError.__name__


def _failed(ended: Ended, stop: threading.Event) -> Outcome:
    if stop.is_set():
        return interrupted()
    if ended.code == InterruptedRunError.exit_code and stop.wait(_STOP_MAY_FOLLOW_SECONDS):
        # Whoever stops a batch may tell all of its processes at once.
        return interrupted()
    return Outcome(code=ended.code, failure=_failure(ended))


def _failure(ended: Ended) -> Failure:
    try:
        found = json.loads(ended.output)["error"]
        return Failure(kind=str(found["kind"]), message=str(found["message"]), hint=str(found["hint"]))
    except (ValueError, KeyError, TypeError):
        last = " / ".join(ended.messages.splitlines()[-_SHOWN_LINES:])
        message = f"the process that made it {ended.reason}" + (f": {last}" if last else "")
        hint = "Look for what ended it, such as a lack of memory; what is done is kept."
        return Failure(kind="ProcessError", message=message, hint=hint)
