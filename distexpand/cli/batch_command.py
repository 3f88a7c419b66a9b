"""`distexpand batch`: a list of expansions, safe to start again and again."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.attempt_options import attempt_options, cluster_options
from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, quiet_option, threads_option
from distexpand.cli.places import LocalPath
from distexpand.errors import UsageError
from distexpand.signals import told_to_end

if TYPE_CHECKING:
    from distexpand.batch.making import Maker
    from distexpand.batch.status import Status
    from distexpand.cluster.options import ClusterOptions


@click.command("batch", short_help="Make every expansion that FILE lists; safe to start again.")
@click.argument("file", type=LocalPath(path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for what another start of FILE has in hand.")
@click.option("--status", "only_status", is_flag=True, help="Show how far it is; run nothing.")
@threads_option
@click.option(
    "--address",
    metavar="URL",
    help="Make each as a job of the cluster with this Jobs API, as http://HEAD:8265; `auto` on a machine "
    "of the cluster.  [default: make them here]",
)
@attempt_options
@click.option(
    "--pip",
    "packages",
    multiple=True,
    metavar="PACKAGE",
    help="Install this for the jobs, where the cluster's machines lack it (repeatable).",
)
@click.option("--driver-on-worker", is_flag=True, help="For a head that doesn't mount sources and outputs.")
@quiet_option
@json_option
def batch_command(
    file: Path,
    wait: bool,
    only_status: bool,
    threads: int,
    address: str | None,
    per_node: int | None,
    max_in_flight: int | None,
    tries: int | None,
    wait_for_nodes: int | None,
    packages: tuple[str, ...],
    driver_on_worker: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make every expansion that FILE lists, a few at a time, here or on a cluster.

    Done outputs are left alone, interrupted ones continued, failing ones tried again. Exit code: 0 all
    done, 1 some failed, 2 bad FILE, 75 some are in another start's hands, 130 interrupted.
    """
    from distexpand.batch.document import read_batch
    from distexpand.batch.run import exit_code, run_batch
    from distexpand.batch.status_file import read_true_state
    from distexpand.batch.work import Start

    if only_status and wait:
        raise UsageError("--status and --wait exclude each other")
    batch = read_batch(file)
    if only_status:
        _show(read_true_state(batch), as_json=as_json)
        return
    limits = {
        "per_node": per_node,
        "max_in_flight": max_in_flight,
        "tries": tries,
        "wait_for_nodes": wait_for_nodes,
    }
    if address is None:
        maker = _local_maker(threads, limits | {"packages": packages, "driver_on_worker": driver_on_worker})
    else:
        options = cluster_options(**limits, threads=threads)
        maker = _cluster_maker(address, options, packages=packages, driver_on_worker=driver_on_worker)
    with _stopping_on_signals() as (stop, hurry):
        tell = _silent if quiet else say
        start = Start(batch=batch, maker=maker, stop=stop, hurry=hurry, tell=tell)
        status = run_batch(start, wait=wait)
        code = exit_code(status, stopped=stop.is_set())
    if as_json:
        print_json(status.to_json())
    if code:
        raise SystemExit(code)


def _local_maker(threads: int, for_clusters: Mapping[str, object]) -> "Maker":
    from distexpand.batch.local_maker import LocalMaker

    for name, value in for_clusters.items():
        if value:
            option = "--pip" if name == "packages" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no meaning without --address")
    return LocalMaker(threads=threads)


def _cluster_maker(
    address: str, options: "ClusterOptions", *, packages: tuple[str, ...], driver_on_worker: bool
) -> "Maker":
    """Return a maker; a cluster that can't be reached at all is found out now and not once per expansion."""
    from distexpand.batch.cluster_maker import ClusterMaker
    from distexpand.jobs.connection import connect

    connect(address)
    return ClusterMaker(
        address=address, options=options, packages=packages, driver_on_worker=driver_on_worker
    )


def _silent(_line: str) -> None:
    """Say nothing."""


def _show(status: "Status", *, as_json: bool) -> None:
    if as_json:
        print_json(status.to_json())
        return
    from rich.console import Console

    from distexpand.batch.table import status_table

    Console().print(status_table(status))


@contextmanager
def _stopping_on_signals() -> Iterator[tuple[threading.Event, threading.Event]]:
    """End cleanly on the first signal, at once on the second; a hangup counts unless ignored (nohup)."""
    stop, hurry = threading.Event(), threading.Event()

    def told() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    with told_to_end(told, hangup=True):
        yield stop, hurry
