"""`distexpand run --ray`: the driver in this process, the shards on a Ray cluster."""

import os
import secrets
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from distexpand.api import run_plan_on_cluster
from distexpand.cli.interruption import raising_on_signals, saying_how_to_resume
from distexpand.cluster.connect import connected
from distexpand.cluster.events import Event, RunBegan, ShardDone
from distexpand.cluster.options import ClusterOptions
from distexpand.commit.committer import OutputMode
from distexpand.planning.model import Plan
from distexpand.report.watching.cluster_progress import cluster_display
from distexpand.report.watching.events import EventWriter


@dataclass(kw_only=True)
class ClusterCount:
    """What a run on a cluster did: `started` if there was anything to do, `bytes_done` of its shards."""

    started: bool = False
    bytes_done: int = 0

    def count(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunBegan():
                self.started = True
            case ShardDone():
                self.bytes_done += event.size
            case _:
                pass


def run_with_ray(
    plan: Plan,
    output: Path,
    *,
    mode: OutputMode,
    address: str,
    options: ClusterOptions,
    quiet: bool,
    events: EventWriter | None,
    resume: str,
) -> ClusterCount:
    """Run a plan on the cluster at `address` and return what was done.

    Args:
        plan: to execute.
        output: where to.
        mode: what may be there.
        address: of the cluster.
        options: limits of the run.
        quiet: whether there is no display.
        events: gets the run's events, if anyone wants them.
        resume: how to go on after an interrupt.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    counted, display = ClusterCount(), cluster_display(quiet=quiet, verbose=False)
    run = f"run-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"

    def show(event: Event) -> None:
        counted.count(event)
        display.show(event)
        if events is not None:
            events.show(event)

    # Ray takes the signals over when it connects, so they are taken back inside.
    with (
        saying_how_to_resume(resume),
        connected(address, ship=True),
        raising_on_signals(display.note) as stop,
    ):
        try:
            run_plan_on_cluster(
                plan, output.absolute(), options=replace(options, run=run), mode=mode, stop=stop, events=show
            )
        finally:
            display.stop()
    return counted
