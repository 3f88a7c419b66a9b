"""When the last shard is done: whole shards in order on the slots of a cluster, sharing what they share.

Steps from event to event (an attempt begins to move, or ends) with every
attempt at an equal share of its storage and its node, so that a last shard
alone on a fast cluster is counted as what it is. Rejected: total bytes over
total rate, which knows no whole shards; and a simulation of packets, which
takes minutes (benchmarks/cluster_simulation.py is held against this one).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from distexpand.planning.cost.demand import Cluster, Constants, Demand

_NEARLY_DONE = 1e-9

_EXACT = 200_000
"""Shards times slots up to which every event is a step of its own."""

_GRAIN = 0.01
"""Beyond that, steps are at least this share of a typical shard's time: at most so much too slow."""


@dataclass(slots=True)
class _Attempt:
    """One slot's work: on which node, from when on it moves bytes, and what of it is left (1 to 0)."""

    node: int
    demand: Demand
    begins: float
    left: float = 1.0


def makespan(demands: Sequence[Demand], cluster: Cluster, constants: Constants) -> float:
    """Return the seconds from the first dispatch to the last commit."""
    run = _Schedule(demands, cluster, constants)
    while run.step():
        pass
    return run.driver_free


class _Schedule:
    """The state between two events; `driver_free` is when the driver has done what it knows of."""

    def __init__(self, demands: Sequence[Demand], cluster: Cluster, constants: Constants) -> None:
        self._waiting = iter(demands)
        self._constants = constants
        self._now = 0.0
        self._latent: list[_Attempt] = []
        self._moving: list[_Attempt] = []
        self._on_node = [0] * cluster.nodes
        self._least_step = _least_step(demands, cluster)
        self.driver_free = 0.0
        for slot in range(cluster.slots):
            self._dispatch(slot % cluster.nodes)

    def step(self) -> bool:
        """Go to the next event; say whether there was one."""
        if not self._latent and not self._moving:
            return False
        count, on_node = len(self._moving), self._on_node
        seconds = [one.demand.seconds(count, on_node[one.node]) for one in self._moving]
        ends = min((one.left * long for one, long in zip(self._moving, seconds, strict=True)), default=None)
        begins = min((one.begins for one in self._latent), default=None)
        if ends is None or (begins is not None and begins < self._now + ends):
            assert begins is not None
            ends = max(begins - self._now, 0.0)
        ends += self._least_step
        self._now += ends
        for one, long in zip(self._moving, seconds, strict=True):
            one.left -= ends / long if long else 1.0
        self._finish()
        self._begin()
        return True

    def _dispatch(self, node: int) -> None:
        """Give a free slot the next shard, once the driver comes to it."""
        demand = next(self._waiting, None)
        if demand is None:
            return
        self.driver_free = max(self.driver_free, self._now) + self._constants.dispatch
        begins = self.driver_free + self._constants.attempt
        self._latent.append(_Attempt(node=node, demand=demand, begins=begins))

    def _finish(self) -> None:
        done = [one for one in self._moving if one.left <= _NEARLY_DONE]
        if not done:
            return
        self._moving = [one for one in self._moving if one.left > _NEARLY_DONE]
        for one in done:
            self._on_node[one.node] -= 1
            self.driver_free = max(self.driver_free, self._now) + self._constants.commit
            self._dispatch(one.node)

    def _begin(self) -> None:
        begun = [one for one in self._latent if one.begins <= self._now + _NEARLY_DONE]
        if not begun:
            return
        self._latent = [one for one in self._latent if one.begins > self._now + _NEARLY_DONE]
        for one in begun:
            self._on_node[one.node] += 1
            self._moving.append(one)


def _least_step(demands: Sequence[Demand], cluster: Cluster) -> float:
    """Return the seconds by which steps are made longer, so that very many shards don't take minutes."""
    slots = min(cluster.slots, len(demands))
    if len(demands) * slots <= _EXACT:
        return 0.0
    full = sorted(one.seconds(slots, cluster.per_node) for one in demands)
    return _GRAIN * full[len(full) // 2]
