"""From demands and capacities to seconds: what each shard would take of each resource.

Resources are told apart by who shares them: storage by every attempt, a node's
link and processors by the node's attempts. What a thread does one after another
(read, digest, write) overlaps with what others do, but for the ends of a shard
(docs/cost-model.md has the reasons and what was measured).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.work import ShardWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Nodes, attempts at once on each, blocks at once in each attempt, and bytes a second of a link.

    A link carries `network` each way at once. `cores` is a node's processors; 0 stands for
    one for each thread.
    """

    nodes: int
    per_node: int
    threads: int
    network: float
    cores: int = 0

    @property
    def slots(self) -> int:
        """Attempts at once in all."""
        return self.nodes * self.per_node

    @property
    def busy_cores(self) -> int:
        """Processors of a node that its threads can use."""
        threads = self.per_node * self.threads
        return min(self.cores, threads) if self.cores else threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What was measured once (docs/cost-model.md says where): rates per core, and seconds of the driver.

    `copy`, `scale` and `blend` (a term) are bytes a second of one core. `dispatch` and `commit` are
    seconds of the driver per shard, one after another; `attempt` seconds in which an
    attempt moves nothing (its start, checks, sync); `start` and `node_start` seconds
    before the first byte, in all and per node; `finish` after the last shard.
    """

    copy: float = 1.25e9
    scale: float = 0.6e9
    blend: float = 0.25e9
    dispatch: float = 0.012
    commit: float = 0.005
    attempt: float = 0.05
    start: float = 8.0
    node_start: float = 0.02
    finish: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Seconds that one shard takes of each resource if it has the resource to itself.

    `storage` and `node` are by resource's name; `shared` and `local` are the most of each.
    `own` is reading, digesting and writing one after another, spread over an attempt's
    threads; `idle` what its first and last blocks leave unused, as nothing is written
    before the first is read.
    """

    storage: dict[str, float]
    node: dict[str, float]
    own: float
    idle: float
    shared: float = field(init=False)
    local: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", max(self.storage.values()))
        object.__setattr__(self, "local", max(self.node.values()))

    def seconds(self, attempts: int, on_node: int) -> float:
        """Return how long the shard takes beside others: so many attempts in all and on its node.

        The busiest resource's share and what is left idle of it, or the threads' own
        sequence if that takes longer.
        """
        return max(max(attempts * self.shared, on_node * self.local) + self.idle, self.own)


def demand(work: ShardWork, cluster: Cluster, storage: Storage, constants: Constants) -> Demand:
    """Return what a shard takes of this cluster and storage."""
    written = work.data if storage.holes else work.size
    network = cluster.network if storage.remote else math.inf
    computed = work.scaled / constants.scale + work.blended / constants.blend
    processor = work.copied / constants.copy + computed
    shared = {
        "storage read": work.read / storage.read,
        "storage write": written / storage.write,
        "read requests": work.gets / storage.gets,
        "write requests": work.puts / storage.puts,
    }
    reading, writing = min(network, storage.read), min(network, storage.write)
    stream, streams = storage.stream, storage.stream * cluster.threads
    moving = work.read / min(reading, stream) + written / min(writing, stream)
    ends = min(work.read / min(reading, streams), written / min(writing, streams))
    rounds = max(work.puts / cluster.threads, 1.0)
    return Demand(
        storage=shared,
        node={
            "network in": work.read / network,
            "network out": written / network,
            "processors": processor / cluster.busy_cores,
        },
        own=(moving + processor) / cluster.threads,
        idle=ends / rounds / cluster.per_node,
    )


def bounds(demands: Sequence[Demand], cluster: Cluster, constants: Constants) -> dict[str, float]:
    """Return for each resource the seconds below which the work can't be done, were it the only one."""
    found: dict[str, float] = {}
    for one in demands:
        for name, seconds in one.storage.items():
            found[name] = found.get(name, 0.0) + seconds
        for name, seconds in one.node.items():
            found[name] = found.get(name, 0.0) + seconds / cluster.nodes
        found["threads"] = found.get("threads", 0.0) + one.own / cluster.slots
    found["driver"] = len(demands) * (constants.dispatch + constants.commit)
    found["whole shards"] = max((one.seconds(1, 1) for one in demands), default=0.0)
    return found
