"""Options that say how a run uses a cluster's nodes; shared by `submit`, `batch` and `run --ray`."""

from typing import TYPE_CHECKING

import click

from distexpand.cli.options import Command

if TYPE_CHECKING:
    from distexpand.cluster.options import ClusterOptions


def attempt_options(command: Command) -> Command:
    """--per-node, --max-in-flight, --tries and --wait-for-nodes."""
    for option in (
        click.option(
            "--wait-for-nodes",
            type=click.IntRange(0, 86_400),
            metavar="SECONDS",
            help="Wait for the first node of a cluster that scales from nothing.",
        ),
        click.option("--tries", type=click.IntRange(1, 100), help="Attempts at one shard.  [default: 5]"),
        click.option(
            "--max-in-flight",
            type=click.IntRange(1, 10_000),
            help="Shards at once in all.  [default: what the nodes take]",
        ),
        click.option(
            "--per-node", type=click.IntRange(1, 64), help="Shards at once on one node.  [default: 2]"
        ),
    ):
        command = option(command)
    return command


def cluster_options(
    *,
    per_node: int | None,
    max_in_flight: int | None,
    tries: int | None,
    wait_for_nodes: int | None,
    threads: int,
) -> "ClusterOptions":
    """Return the options with defaults for what wasn't given."""
    from distexpand.cluster.options import DEFAULT_PER_NODE, DEFAULT_TRIES, ClusterOptions

    return ClusterOptions(
        per_node=DEFAULT_PER_NODE if per_node is None else per_node,
        max_in_flight=max_in_flight,
        tries=DEFAULT_TRIES if tries is None else tries,
        wait_for_nodes=float(wait_for_nodes or 0),
        threads=threads,
    )
