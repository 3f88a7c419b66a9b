"""Nodes as Ray lists them."""

from collections.abc import Mapping
from typing import Any

from distexpand.cluster.nodes import Node, choose_nodes
from distexpand.cluster.options import ClusterOptions


def entry(
    name: str, *, cpus: float = 0, io: float = 0, memory: float = 0, address: str = "10.0.0.1"
) -> dict[str, Any]:
    """Return one entry of `ray.nodes()`; Ray leaves out what a node has nothing of."""
    resources = {"CPU": float(cpus), "io": float(io), "memory": float(memory), f"node:{address}": 1.0}
    return {
        "NodeID": f"{name}-0123456789",
        "NodeName": name,
        "NodeManagerAddress": address,
        "Alive": True,
        "Resources": {key: value for key, value in resources.items() if value},
    }


def nodes(*, per_node: int = 2, **cpus: float) -> Mapping[str, Node]:
    """Return nodes of so many CPUs by their names."""
    chosen = choose_nodes(
        [entry(name, cpus=count) for name, count in cpus.items()], ClusterOptions(per_node=per_node)
    )
    return {node.name: node for node in chosen.values()}
