"""How long a plan takes on a cluster, what holds it up, and from how many nodes on more don't help.

    seconds = start + makespan(whole shards on slots) + finish
    makespan >= max over resources of (demand / capacity)

Pure arithmetic over the plan and stated rates; nothing is measured here and no
cluster is asked.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from distexpand.errors import UsageError
from distexpand.planning.cost.demand import Cluster, Constants, bounds, demand
from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.schedule import makespan
from distexpand.planning.cost.work import ShardWork

MEASURED = Constants()
"""The constants of docs/cost-model.md."""

WHOLE_SHARDS = "whole shards"

_LITTLE = 0.1
"""A doubling of the nodes that saves less than this share of the time doesn't help."""

_MOST_NODES = 1024
_TAIL_SHARE = 1 / 3
_SHARDS_PER_SLOT = 3
_LEAST_SHARD = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds by stage on one cluster.

    `transfer` is what the slowest resource needs for all bytes, `waiting` what whole
    shards, their starts and the driver add to it. `bounds` has every resource's own
    seconds; `bottleneck` is the one that holds the work up.
    """

    nodes: int
    start: float
    transfer: float
    waiting: float
    finish: float
    bottleneck: str
    bounds: dict[str, float]

    @property
    def seconds(self) -> float:
        """All stages."""
        return self.start + self.transfer + self.waiting + self.finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What `plan` says of a cluster.

    `efficiency` is one node's time over `nodes` times this one; `enough_nodes` the number
    from which on twice as many save less than a tenth. `memory` is bytes of all worker
    processes at their peak.
    """

    cluster: Cluster
    storage: Storage
    prediction: Prediction
    one_node_seconds: float
    efficiency: float
    enough_nodes: int
    shards: int
    memory: int
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the `cost` object of `plan --json`: seconds, bytes, and null for no known limit."""
        prediction = self.prediction
        return {
            "nodes": self.cluster.nodes,
            "per_node": self.cluster.per_node,
            "threads": self.cluster.threads,
            "network": self.cluster.network,
            "storage": {key: _limit(value) for key, value in asdict(self.storage).items()},
            "seconds": {
                "total": prediction.seconds,
                "start": prediction.start,
                "transfer": prediction.transfer,
                "waiting": prediction.waiting,
                "finish": prediction.finish,
                "one_node": self.one_node_seconds,
            },
            "bounds": prediction.bounds,
            "bottleneck": prediction.bottleneck,
            "efficiency": self.efficiency,
            "enough_nodes": self.enough_nodes,
            "memory": self.memory,
            "advice": list(self.advice),
        }


def predict(
    work: Sequence[ShardWork], cluster: Cluster, storage: Storage, constants: Constants = MEASURED
) -> Prediction:
    """Return the seconds by stage of this work on this cluster.

    Raises:
        UsageError: several nodes on a disk that only one has.
    """
    if cluster.nodes > 1 and not storage.remote:
        raise UsageError(
            f"{storage.name} is one machine's own disk, which {cluster.nodes} nodes don't share",
            hint="Name a storage that every node sees, such as nfs, lustre or s3; or --nodes 1.",
        )
    demands = [demand(one, cluster, storage, constants) for one in work]
    limits = bounds(demands, cluster, constants)
    slowest = max(limits, key=lambda name: limits[name])
    whole = makespan(demands, cluster, constants)
    transfer = min(limits[slowest], whole)
    waiting = whole - transfer
    return Prediction(
        nodes=cluster.nodes,
        start=constants.start + cluster.nodes * constants.node_start,
        transfer=transfer,
        waiting=waiting,
        finish=constants.finish,
        bottleneck=WHOLE_SHARDS if waiting > _TAIL_SHARE * whole else slowest,
        bounds=limits,
    )


def estimate_cost(
    work: Sequence[ShardWork],
    cluster: Cluster,
    storage: Storage,
    *,
    worker_memory: int,
    constants: Constants = MEASURED,
) -> Cost:
    """Return what this cluster makes of this work, against one node and against more nodes.

    Args:
        work: the plan's shards, from `plan_work`.
        cluster: what runs them.
        storage: what holds sources and output.
        worker_memory: bytes of one worker process at its peak.
        constants: rates of the engine and the driver.

    Raises:
        UsageError: several nodes on a disk that only one has.
    """
    prediction = predict(work, cluster, storage, constants)
    alone = predict(work, replace(cluster, nodes=1), storage, constants)
    enough = enough_nodes(work, cluster, storage, constants)
    return Cost(
        cluster=cluster,
        storage=storage,
        prediction=prediction,
        one_node_seconds=alone.seconds,
        efficiency=alone.seconds / (cluster.nodes * prediction.seconds),
        enough_nodes=enough,
        shards=len(work),
        memory=min(cluster.slots, len(work)) * worker_memory,
        advice=tuple(_advice(work, cluster, prediction, enough)),
    )


def enough_nodes(
    work: Sequence[ShardWork], cluster: Cluster, storage: Storage, constants: Constants = MEASURED
) -> int:
    """Return the nodes from which on twice as many save less than a tenth; a power of two."""
    nodes = 1
    if not storage.remote:
        return nodes
    seconds = predict(work, replace(cluster, nodes=1), storage, constants).seconds
    while nodes < _MOST_NODES:
        more = predict(work, replace(cluster, nodes=2 * nodes), storage, constants).seconds
        if more > (1 - _LITTLE) * seconds:
            break
        nodes, seconds = 2 * nodes, more
    return nodes


def _advice(work: Sequence[ShardWork], cluster: Cluster, prediction: Prediction, enough: int) -> list[str]:
    """Say what would make it quicker, most useful first."""
    found = []
    size = _shard_size(work, cluster)
    if size is not None and prediction.bottleneck == WHOLE_SHARDS:
        busy = min(len(work), cluster.slots)
        found.append(
            f"{len(work)} shards for {cluster.slots} attempts at once keep {busy} busy; "
            f"--shard-size {size // 10**6}MB would share the work out more evenly."
        )
    if prediction.bottleneck == "threads":
        found.append(
            f"{cluster.per_node} x {cluster.threads} blocks at once on a node don't fill its link; "
            "raise --threads."
        )
    if cluster.nodes > enough:
        found.append(f"About {enough} nodes do as well: {_held_by(prediction)}.")
    return found


def _held_by(prediction: Prediction) -> str:
    return {
        WHOLE_SHARDS: "there are too few shards for more",
        "driver": "the driver hands out and commits one shard after another",
    }.get(prediction.bottleneck, f"{prediction.bottleneck} is the limit, which more nodes don't raise")


def _shard_size(work: Sequence[ShardWork], cluster: Cluster) -> int | None:
    """Return a smaller shard size that gives each slot a few shards, or nothing if it's too small to help."""
    total, largest = sum(one.size for one in work), max((one.size for one in work), default=0)
    wanted = max(math.ceil(total / cluster.slots / _SHARDS_PER_SLOT / 10**8) * 10**8, _LEAST_SHARD)
    return wanted if wanted < 0.8 * largest else None


def _limit(value: Any) -> Any:
    return None if value == math.inf else value
