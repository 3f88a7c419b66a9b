"""A job's driver: plan where the sources are, run on this cluster, and always say how it ended."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distexpand.api import plan_expansion, run_plan_on_cluster
from distexpand.cluster.connect import connected
from distexpand.cluster.events import Noted, RunEnded
from distexpand.commit.committer import OutputMode
from distexpand.commit.complete import require_complete
from distexpand.commit.manifest import MANIFEST_NAME, is_manifest_of
from distexpand.commit.occupied import own_manifest
from distexpand.commit.work_directory import current, stored_plan
from distexpand.errors import DistexpandError, OutputError, UsageError
from distexpand.jobs.event_log import EventLog
from distexpand.jobs.request import JobRequest, decode_request
from distexpand.planning.codec.plans import plan_digest, same_work
from distexpand.planning.model import Plan
from distexpand.signals import told_to_end

_BUG = 1


def drive(encoded: str, *, run: str) -> int:
    """Run the request and return the exit code; events go to standard output, `RunEnded` last.

    A `DistexpandError` becomes part of that event. Anything else is a bug: its traceback goes to the log
    too, for whoever looks there.
    """
    log = EventLog(run)
    started = time.monotonic()
    kind = message = hint = ""
    exit_code, made = 0, True
    plans: list[Plan] = []
    try:
        made = _run(decode_request(encoded), log, run, planned=plans.append)
    except DistexpandError as error:
        kind, message, hint = type(error).__name__, error.message, error.hint
        exit_code = error.exit_code
    except Exception as error:  # noqa: BLE001  # whoever follows must learn that it is over
        traceback.print_exc(file=sys.stderr)
        kind, message, exit_code = type(error).__name__, str(error) or type(error).__name__, _BUG
        hint = "This is a bug in distexpand; the job's log has the traceback."
    log(
        RunEnded(
            exit_code=exit_code,
            kind=kind,
            message=message,
            hint=hint,
            seconds=time.monotonic() - started,
            made=made,
            plan=plan_digest(plans[0]) if plans else "",
        )
    )
    return exit_code


def _run(request: JobRequest, log: EventLog, run: str, *, planned: Callable[[Plan], None]) -> bool:
    """Run the request and return whether there was anything to do; `planned` is told the plan."""
    stop = threading.Event()
    # If ending takes too long, Ray kills the process.
    with told_to_end(stop.set):
        expansion = plan_expansion(
            request.recipe,
            origin=request.origin,
            places=request.places,
            shard_size=request.shard_size,
            layout=request.layout,
        )
        planned(expansion.plan)
        for finding in expansion.findings:
            log(Noted(message=f"{finding.message} {finding.advice}".strip(), level="warning"))
        output = Path(request.output)
        mode = _mode(request, expansion.plan, output)
        # Ray takes the signal over when it connects, so it is taken back inside.
        with connected("auto", ship=False), told_to_end(stop.set):
            options = replace(request.options, run=run)
            return run_plan_on_cluster(
                expansion.plan, output, mode=mode, options=options, stop=stop, events=log
            )


def _mode(request: JobRequest, plan: Plan, output: Path) -> OutputMode:
    """Resume, unless something else is to be replaced.

    Overwriting would begin anew each time that a lost job is submitted again; so what this very plan has
    begun, or finished without a fault, is gone on with.
    """
    if not request.overwrite:
        return OutputMode.RESUME
    work = current(output)
    try:
        if work.exists():
            return OutputMode.RESUME if same_work(stored_plan(work), plan) else OutputMode.OVERWRITE
        if not (output / MANIFEST_NAME).exists():
            return OutputMode.OVERWRITE
        made = own_manifest(output)
        require_complete(output, made, plan)
    except (OutputError, UsageError):
        return OutputMode.OVERWRITE
    return OutputMode.RESUME if is_manifest_of(made, plan) else OutputMode.OVERWRITE
