"""`distexpand run`: do it here, in flat memory, resumable."""

import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from distexpand.cli.messages import print_json, refuse_findings, say, show_findings, show_report
from distexpand.cli.options import (
    json_option,
    model_option,
    quiet_option,
    recipe_argument,
    shard_size_option,
    strict_option,
    threads_option,
)
from distexpand.cli.planning import planned_expansion
from distexpand.errors import UsageError

if TYPE_CHECKING:
    from distexpand.commit.committer import OutputMode
    from distexpand.report.summary import PlanSummary
    from distexpand.runner.progress import ProgressSink

_KIB = 1024


@click.command("run", short_help="Expand by RECIPE, or a saved plan, into the directory OUT.")
@recipe_argument
@click.argument("out", type=click.Path(path_type=Path))
@model_option
@shard_size_option
@threads_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same plan.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote to OUT.")
@strict_option
@quiet_option
@json_option
def run_command(
    recipe: str,
    out: Path,
    models: tuple[str, ...],
    shard_size: str | None,
    threads: int,
    resume: bool,
    overwrite: bool,
    strict: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Expand by RECIPE (or a plan saved by `plan --save`) into the directory OUT."""
    from distexpand.api import run_plan, summarise_plan
    from distexpand.report.progress import progress_display

    planned = planned_expansion(recipe, models, shard_size)
    if strict:
        refuse_findings(planned.findings)
    summary = summarise_plan(planned, output=out, threads=threads)
    if not quiet and not as_json:
        show_findings(planned.findings)
    counted = _Counted(progress_display(quiet=quiet))
    started = time.monotonic()
    with _stopping_on_signals() as stop:
        run_plan(
            planned.plan,
            out,
            mode=_mode(resume=resume, overwrite=overwrite),
            threads=threads,
            stop=stop,
            progress=counted,
        )
    seconds = time.monotonic() - started
    if as_json:
        print_json(_document(summary, out, counted, seconds))
    elif not quiet:
        _tell(summary, out, counted, seconds)


def _mode(*, resume: bool, overwrite: bool) -> "OutputMode":
    from distexpand.commit.committer import OutputMode

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    return OutputMode.RESUME if resume else OutputMode.OVERWRITE if overwrite else OutputMode.FRESH


def _document(summary: "PlanSummary", out: Path, counted: "_Counted", seconds: float) -> dict[str, Any]:
    return {
        "output": str(out),
        "seconds": seconds,
        "bytes_done": counted.bytes_done,
        "peak_memory": peak_memory(),
        "plan": summary.to_json(),
    }


def _tell(summary: "PlanSummary", out: Path, counted: "_Counted", seconds: float) -> None:
    from distexpand.report.run_report import run_report

    if not counted.started:
        say(f"{out}: already finished, nothing to do")
        return
    show_report(
        run_report(
            summary,
            output=str(out),
            seconds=seconds,
            bytes_done=counted.bytes_done,
            peak_memory=peak_memory(),
        )
    )


def peak_memory() -> int:
    """Return the most resident memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


class _Counted:
    """A progress display that also counts the bytes that this run puts in place.

    `started` says whether there was anything to do.
    """

    def __init__(self, display: "ProgressSink") -> None:
        self.bytes_done = 0
        self.started = False
        self._display = display
        self._lock = threading.Lock()
        self.shard_done = display.shard_done
        self.stop = display.stop

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        self.started = True
        self._display.start(
            total_bytes=total_bytes, done_bytes=done_bytes, shards=shards, shards_done=shards_done
        )

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self.bytes_done += nbytes
        self._display.advance(nbytes)


@contextmanager
def _stopping_on_signals() -> Iterator[threading.Event]:
    """End cleanly on the first interrupt or termination, at once on the second."""
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
