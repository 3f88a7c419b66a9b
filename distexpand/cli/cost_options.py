"""The question that `plan --nodes` asks: options read once, before the plan is made."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from distexpand.errors import UsageError

if TYPE_CHECKING:
    from distexpand.planning.cost.demand import Cluster
    from distexpand.planning.cost.model import Cost
    from distexpand.planning.cost.rates import Storage
    from distexpand.planning.model import Plan

DEFAULT_NETWORK = "10Gbps"
DEFAULT_STORAGE = "unlimited"
DEFAULT_PER_NODE = 2

_CLUSTER_WORKER_BYTES = 60_000_000
"""What Ray's client adds to a worker process, measured."""


class CostQuestion(NamedTuple):
    """A cluster and its storage, as asked for."""

    cluster: "Cluster"
    storage: "Storage"


def cost_question(
    nodes: int | None, per_node: int | None, network: str | None, storage: str | None, *, threads: int
) -> CostQuestion | None:
    """Return the cluster that the options describe, or nothing if they describe none.

    Raises:
        UsageError: a rate or a storage isn't one, or there is no number of nodes to go with it.
    """
    from distexpand.planning.cost.demand import Cluster
    from distexpand.planning.cost.rates import parse_rate, parse_storage

    if nodes is None:
        for option, given in (("--per-node", per_node), ("--network", network), ("--storage", storage)):
            if given is not None:
                raise UsageError(f"{option} goes with --nodes", hint="Say how many nodes, also if it's one.")
        return None
    cluster = Cluster(
        nodes=nodes,
        per_node=per_node or DEFAULT_PER_NODE,
        threads=threads,
        network=parse_rate(network or DEFAULT_NETWORK, option="--network"),
    )
    return CostQuestion(cluster=cluster, storage=parse_storage(storage or DEFAULT_STORAGE))


def cost_of(plan: "Plan", question: CostQuestion) -> "Cost":
    """Return what the cluster would make of a plan.

    Raises:
        UsageError: several nodes on a disk that only one has.
    """
    from distexpand.engine.space import peak_memory_bytes
    from distexpand.planning.cost.model import estimate_cost
    from distexpand.planning.cost.work import plan_work

    # A worker holds one shard of the plan, not all.
    largest = max(plan.shards, key=lambda shard: len(shard.operations))
    alone = peak_memory_bytes(replace(plan, shards=(largest,)), threads=question.cluster.threads)
    return estimate_cost(
        plan_work(plan),
        question.cluster,
        question.storage,
        worker_memory=alone + _CLUSTER_WORKER_BYTES,
    )
