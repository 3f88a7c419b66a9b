"""The nodes of a cluster on which attempts may run, and how many on each at once.

The driver itself says where an attempt goes (hard node affinity) and asks Ray
for the node's resources besides, so that other users of the cluster are
respected. Rejected: leaving placement to Ray's strategies, which spread evenly
only where a custom resource says how many each node takes, and can't leave out
a node that fails.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from distexpand.cluster.options import ClusterOptions
from distexpand.engine.space import process_memory_bytes
from distexpand.errors import UsageError

IO_RESOURCE = "io"
"""Custom resource by which a cluster says how many transfers a node takes at once."""

_RAY_WORKER_BYTES = 40_000_000
"""What a Ray worker holds beside what this package does, measured."""

_FRACTIONS = 10_000
"""Ray counts in such parts of a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that may take attempts: `slots` at once, each asking Ray for `num_cpus` and `resources`.

    `whole_cpus` and `whole_resources` are what a task asks for that wants such a node for itself;
    `memory` is the bytes that Ray counts on there, 0 if it doesn't say.
    """

    node_id: str
    name: str
    slots: int
    num_cpus: float
    resources: Mapping[str, float]
    whole_cpus: float
    whole_resources: Mapping[str, float]
    memory: float


def usable_nodes(options: ClusterOptions) -> dict[str, Node]:
    """Return the living nodes that may take attempts, by id.

    Where any node has the custom resource `io`, only such nodes take part. A node without
    processors for tasks (a head started with `--num-cpus=0`) takes none.
    """
    return choose_nodes([entry for entry in ray.nodes() if entry["Alive"]], options)


def choose_nodes(entries: list[dict[str, Any]], options: ClusterOptions) -> dict[str, Node]:
    """Return what of Ray's list of nodes may take attempts."""
    marked = any(entry["Resources"].get(IO_RESOURCE, 0) >= 1 for entry in entries)
    nodes = (_node(entry, options, marked=marked) for entry in entries)
    return {node.node_id: node for node in nodes if node is not None}


def attempt_memory_bytes(options: ClusterOptions, *, transforms: bool) -> int:
    """Return the expected peak of resident memory of one attempt's worker process."""
    return _RAY_WORKER_BYTES + process_memory_bytes(threads=options.threads, transforms=transforms)


def require_feasible(nodes: Mapping[str, Node], options: ClusterOptions, *, transforms: bool) -> None:
    """Check that the cluster can run attempts at all.

    Raises:
        UsageError: no node takes tasks, or one hasn't the memory for its share.
    """
    if not nodes:
        raise UsageError(
            "no node of the cluster takes tasks: each has 0 CPUs for Ray",
            hint="Add nodes, start them with `ray start --num-cpus`, or --wait-for-nodes where they come "
            "on demand; "
            f"if any node has the custom resource {IO_RESOURCE!r}, only such nodes are used.",
        )
    for node in nodes.values():
        error = too_small(node, options, transforms=transforms)
        if error is not None:
            raise error
    if options.max_in_flight is not None and options.max_in_flight < 1:
        raise UsageError("--max-in-flight is less than 1", hint="Leave it out for as many as the nodes take.")


def too_small(node: Node, options: ClusterOptions, *, transforms: bool) -> UsageError | None:
    """Return what is wrong with a node that hasn't the memory for its share of attempts."""
    each = attempt_memory_bytes(options, transforms=transforms)
    if not node.memory or node.slots * each <= node.memory:
        return None
    return UsageError(
        f"node {node.name}: {node.slots} attempts at once need {node.slots * each:,} bytes "
        f"of memory, Ray may use {int(node.memory):,} there",
        hint=_memory_hint(int(node.memory // each)),
    )


def _memory_hint(fitting: int) -> str:
    if not fitting:
        return "Give the node more memory, or leave it out: start it with `ray start --num-cpus=0`."
    return f"Call with --per-node {fitting}, or give the node more memory."


def _node(entry: dict[str, Any], options: ClusterOptions, *, marked: bool) -> Node | None:
    resources = entry["Resources"]
    cpus, io = float(resources.get("CPU", 0)), int(resources.get(IO_RESOURCE, 0))
    if (io if marked else cpus) < 1:
        return None
    slots = min(options.per_node, io) if marked else options.per_node
    return Node(
        node_id=entry["NodeID"],
        name=_name(entry),
        slots=slots,
        num_cpus=0 if marked else _share(cpus, slots),
        resources={IO_RESOURCE: 1.0} if marked else {},
        whole_cpus=0 if marked else cpus,
        whole_resources={IO_RESOURCE: float(io)} if marked else {},
        memory=float(resources.get("memory", 0)),
    )


def _share(cpus: float, slots: int) -> float:
    """Return the CPUs of one attempt, rounded down to what Ray counts in, so that all slots fit."""
    return min(1.0, math.floor(cpus / slots * _FRACTIONS) / _FRACTIONS)


def _name(entry: dict[str, Any]) -> str:
    """Return the name that a node was given, or its address and the beginning of its id."""
    address, name = entry["NodeManagerAddress"], entry.get("NodeName") or ""
    return str(name if name not in {"", address} else f"{address}/{entry['NodeID'][:8]}")
