"""`distexpand run --ray`: the driver in this process, the shards on a Ray cluster."""

import os
import secrets
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from distexpand.api import run_plan_on_cluster
from distexpand.cli.interruption import stopping_on_signals
from distexpand.cluster.connect import connected
from distexpand.cluster.events import Event, RunBegan, ShardDone
from distexpand.cluster.options import ClusterOptions
from distexpand.commit.committer import OutputMode
from distexpand.planning.model import Plan
from distexpand.report.cluster_progress import cluster_display


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
    plan: Plan, output: Path, *, mode: OutputMode, address: str, options: ClusterOptions, quiet: bool
) -> ClusterCount:
    """Run a plan on the cluster at `address` and return what was done.

    Raises:
        DistexpandError: what went wrong; finished shards stay for a resume.
    """
    counted, display = ClusterCount(), cluster_display(quiet=quiet, verbose=False)
    run = f"run-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"

    def show(event: Event) -> None:
        counted.count(event)
        display.show(event)

    # Ray takes the signals over when it connects, so they are taken back inside.
    with connected(address, ship=True), stopping_on_signals() as stop:
        try:
            run_plan_on_cluster(
                plan, output.absolute(), options=replace(options, run=run), mode=mode, stop=stop, events=show
            )
        finally:
            display.stop()
    return counted
