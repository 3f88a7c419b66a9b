"""`distexpand run`: do it here, in flat memory, resumable."""

import resource
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from distexpand.cli.attempt_options import attempt_options, cluster_options
from distexpand.cli.interruption import how_to_resume
from distexpand.cli.messages import print_json, refuse_findings, say, show_findings, show_report
from distexpand.cli.options import (
    json_option,
    layout_option,
    load_check_options,
    model_option,
    quiet_option,
    recipe_argument,
    shard_size_option,
    strict_option,
    threads_option,
)
from distexpand.cli.places import PLACE, local_only
from distexpand.cli.planning import planned_expansion
from distexpand.cli.watching import STANDARD_ERROR, events_option, writing_events
from distexpand.errors import UsageError

if TYPE_CHECKING:
    from distexpand.cli.run_with_ray import ClusterCount
    from distexpand.cli.watching import Counted
    from distexpand.commit.committer import OutputMode
    from distexpand.report.summary import PlanSummary
    from distexpand.runner.place import Output

_KIB = 1024


@click.command("run", short_help="Expand by RECIPE, or a saved plan, into OUT.")
@recipe_argument
@click.argument("out", type=PLACE)
@model_option
@shard_size_option
@layout_option
@threads_option
@click.option("--ray", is_flag=True, help="Let a Ray cluster do the work; this process leads it.")
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="With --ray: a running cluster's head, or `auto`.  [default: a throw-away cluster here]",
)
@attempt_options
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same plan.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote to OUT.")
@click.option(
    "--clone/--no-clone",
    default=True,
    help="Share blocks with the sources where the file system can (XFS, Btrfs).  [default: clone]",
)
@load_check_options
@strict_option
@click.option("-v", "--verbose", is_flag=True, help="Say how the bytes move.")
@quiet_option
@events_option
@json_option
def run_command(
    recipe: str,
    out: "Output",
    models: tuple[str, ...],
    shard_size: str | None,
    layout: str | None,
    threads: int,
    ray: bool,
    address: str | None,
    per_node: int | None,
    max_in_flight: int | None,
    tries: int | None,
    wait_for_nodes: int | None,
    resume: bool,
    overwrite: bool,
    clone: bool,
    check_load: bool | None,
    trust_remote_code: bool,
    strict: bool,
    verbose: bool,
    quiet: bool,
    events: str | None,
    as_json: bool,
) -> None:
    """Expand by RECIPE (or a plan saved by `plan --save`) into OUT.

    OUT is a directory, a bucket's folder (s3://BUCKET/PATH, gs://, az://) or a repository of
    the Hub (hf://OWNER/NAME), which is made, private, if it isn't there.
    """
    from distexpand.api import summarise_plan
    from distexpand.commit.occupied import require_place
    from distexpand.python.load_check import checked_load, wanted

    limits: dict[str, int | None] = {
        "per_node": per_node,
        "max_in_flight": max_in_flight,
        "tries": tries,
        "wait_for_nodes": wait_for_nodes,
    }
    _require_ray_for({"address": address, **limits}, ray=ray)
    mode = _mode(resume=resume, overwrite=overwrite)
    with writing_events(events) as writer:
        planned = planned_expansion(recipe, models, shard_size, layout)
        if wanted(check_load, resume=resume, output=out):
            if not resume:
                require_place(out, planned.plan, overwrite=overwrite)
            planned, _ = checked_load(planned, trust_remote_code=trust_remote_code)
        if strict:
            refuse_findings(planned.findings)
        summary = summarise_plan(planned, output=out, threads=threads, clone=clone and not ray)
        if not quiet and not as_json:
            show_findings(planned.findings)
        started = time.monotonic()
        if ray:
            from distexpand.cli.run_with_ray import run_with_ray

            done: Counted | ClusterCount = run_with_ray(
                planned.plan,
                local_only(out, "nodes of a cluster write to a directory that they share"),
                mode=mode,
                address=address or "local",
                options=cluster_options(**limits, threads=threads),
                quiet=quiet or as_json or events == STANDARD_ERROR,
                events=writer,
                resume=how_to_resume(),
            )
        else:
            from distexpand.cli.run_here import run_here

            done = run_here(
                planned.plan,
                out,
                mode=mode,
                threads=threads,
                clone=clone,
                quiet=quiet or events == STANDARD_ERROR,
                events=writer,
                tell=say if verbose else lambda _: None,
                resume=how_to_resume(),
            )
    seconds = time.monotonic() - started
    if as_json:
        print_json(_document(summary, out, done, seconds))
    elif not quiet:
        _tell(summary, out, done, seconds)


def _require_ray_for(given: Mapping[str, object], *, ray: bool) -> None:
    for name, value in given.items():
        if value is not None and not ray:
            raise UsageError(
                f"--{name.replace('_', '-')} goes with --ray",
                hint="To use a cluster, add --ray, or `submit`.",
            )


def _mode(*, resume: bool, overwrite: bool) -> "OutputMode":
    from distexpand.commit.committer import OutputMode

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    return OutputMode.RESUME if resume else OutputMode.OVERWRITE if overwrite else OutputMode.FRESH


def _document(
    summary: "PlanSummary", out: "Output", counted: "Counted | ClusterCount", seconds: float
) -> dict[str, Any]:
    return {
        "output": str(out),
        "seconds": seconds,
        "bytes_done": counted.bytes_done,
        "peak_memory": peak_memory(),
        "plan": summary.to_json(),
    }


def _tell(summary: "PlanSummary", out: "Output", counted: "Counted | ClusterCount", seconds: float) -> None:
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
