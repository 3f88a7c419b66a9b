"""A cluster simulated event by event, with slow nodes and lost attempts if asked for.

Attempts move bytes through links and a storage that are shared by progressive
filling (every flow grows until something it needs is full). The driver hands
shards to free slots in the plan's order and commits them one at a time; nodes
may be slow (stragglers) and attempts may die; a shard that lags far behind is
begun a second time elsewhere, and the first whole attempt wins. Without such
faults the simulation has to agree with the cost model (tests/planning/test_cost_simulation.py).
What a shard's ends leave idle is taken from the model's formula, not simulated.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from distexpand.planning.cost.demand import Cluster, Constants, Demand, demand
from distexpand.planning.cost.model import MEASURED
from distexpand.planning.cost.rates import Storage
from distexpand.planning.cost.work import ShardWork

_SHARED = ("storage read", "storage write", "read requests", "write requests")
_LOCAL = ("network in", "network out", "processors")
_TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How things go wrong.

    `slow_share` of the nodes run `slow_factor` times slower; an attempt dies with a chance
    of `deaths` per second of work and is begun again after `notice` seconds; a shard whose
    attempt takes `lag` times the median is doubled when a slot is free and no shard waits.
    """

    slow_share: float = 0.0
    slow_factor: float = 4.0
    deaths: float = 0.0
    notice: float = 10.0
    lag: float = 3.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Seconds from first dispatch to last commit, and what happened on the way."""

    seconds: float
    attempts: int
    died: int
    doubled: int


@dataclass(slots=True, eq=False)
class _Attempt:
    shard: int
    node: int
    demand: Demand
    factor: float
    begun: float
    dies: float
    left: float = 1.0
    rate: float = 0.0


NONE = Faults()
_Timer = tuple[float, int, Callable[[], None]]


def simulate(
    work: Sequence[ShardWork],
    cluster: Cluster,
    storage: Storage,
    *,
    constants: Constants = MEASURED,
    faults: Faults = NONE,
) -> Simulated:
    """Return how long the work takes from the first dispatch to the last commit."""
    demands = [demand(one, cluster, storage, constants) for one in work]
    state = _Simulation(demands=demands, cluster=cluster, constants=constants, faults=faults)
    state.run()
    return Simulated(
        seconds=state.driver_free, attempts=state.attempts, died=state.died, doubled=state.doubled
    )


@dataclass(slots=True, kw_only=True)
class _Simulation:
    """The state: what moves, what is due, and which slots are free."""

    demands: Sequence[Demand]
    cluster: Cluster
    constants: Constants
    faults: Faults
    now: float = 0.0
    driver_free: float = 0.0
    attempts: int = 0
    died: int = 0
    doubled: int = 0
    moving: list[_Attempt] = field(default_factory=list)
    timers: list[_Timer] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    taken: list[float] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    chance: random.Random = field(default_factory=random.Random)
    slow: frozenset[int] = frozenset()

    def run(self) -> None:
        """Go from event to event until every shard is committed."""
        self.chance = random.Random(self.faults.seed)
        nodes = range(self.cluster.nodes)
        self.slow = frozenset(self.chance.sample(nodes, round(self.faults.slow_share * len(nodes))))
        self.waiting = list(range(len(self.demands)))[::-1]
        for slot in range(self.cluster.slots):
            self._fill(slot % self.cluster.nodes)
        while len(self.done) < len(self.demands):
            self._advance()

    def _fill(self, node: int) -> None:
        """Give a free slot the next shard, or a second attempt at one that lags, or keep it free."""
        if self.waiting:
            self._dispatch(self.waiting.pop(), node)
            return
        lagging = self._lagging(node)
        if lagging is None:
            self.free.append(node)
            return
        self.doubled += 1
        self._dispatch(lagging.shard, node)

    def _dispatch(self, shard: int, node: int) -> None:
        self.attempts += 1
        self.driver_free = max(self.driver_free, self.now) + self.constants.dispatch
        begins = self.driver_free + self.constants.attempt
        self._at(begins, lambda: self._begin(shard, node))

    def _begin(self, shard: int, node: int) -> None:
        if shard in self.done:
            self._fill(node)
            return
        dies = self.now + self.chance.expovariate(self.faults.deaths) if self.faults.deaths else float("inf")
        factor = self.faults.slow_factor if node in self.slow else 1.0
        attempt = _Attempt(
            shard=shard, node=node, demand=self.demands[shard], factor=factor, begun=self.now, dies=dies
        )
        self.moving.append(attempt)
        if self.taken and self.faults is not NONE:
            self._at(self.now + self.faults.lag * self._median() + _TINY, self._retry_free)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (when, len(self.timers) + self.attempts * 1000, what))

    def _median(self) -> float:
        return sorted(self.taken)[len(self.taken) // 2]

    def _lagging(self, node: int) -> _Attempt | None:
        """Return the oldest attempt that takes far longer than its peers did, once only."""
        if not self.taken or self.faults is NONE:
            return None
        limit = self.faults.lag * self._median()
        alone = [
            one
            for one in self.moving
            if one.node != node
            and self.now - one.begun > limit
            and sum(other.shard == one.shard for other in self.moving) == 1
        ]
        return min(alone, key=lambda one: one.begun, default=None)

    def _retry_free(self) -> None:
        free, self.free = self.free, []
        for node in free:
            self._fill(node)

    def _advance(self) -> None:
        """Go to the next end, death or timer."""
        set_rates(self.moving)
        step = min((one.left / one.rate for one in self.moving), default=float("inf"))
        step = min(step, min((one.dies - self.now for one in self.moving), default=float("inf")))
        if self.timers:
            step = min(step, self.timers[0][0] - self.now)
        step = max(step, 0.0)
        self.now += step
        for one in self.moving:
            one.left -= one.rate * step
        self._end_attempts()
        while self.timers and self.timers[0][0] <= self.now + _TINY:
            heapq.heappop(self.timers)[2]()

    def _end_attempts(self) -> None:
        ended = [one for one in self.moving if one.left <= _TINY or one.dies <= self.now + _TINY]
        if not ended:
            return
        self.moving = [one for one in self.moving if one.left > _TINY and one.dies > self.now + _TINY]
        for one in ended:
            if one.left > _TINY:
                self.died += 1
                self._at(self.now + self.faults.notice, lambda one=one: self._begin_again(one))
                continue
            self._commit(one)

    def _begin_again(self, dead: _Attempt) -> None:
        if dead.shard not in self.done and all(one.shard != dead.shard for one in self.moving):
            self.waiting.append(dead.shard)
        self._fill(dead.node)

    def _commit(self, whole: _Attempt) -> None:
        if whole.shard not in self.done:
            self.done.add(whole.shard)
            self.taken.append(self.now - whole.begun)
            self.driver_free = max(self.driver_free, self.now) + self.constants.commit
        losers = [one for one in self.moving if one.shard == whole.shard]
        self.moving = [one for one in self.moving if one.shard != whole.shard]
        for one in (whole, *losers):
            self._fill(one.node)


def set_rates(moving: Sequence[_Attempt]) -> None:
    """Give each attempt its rate (shards a second) by progressive filling, less what threads leave idle.

    Rates grow alike in bytes until a resource is full; who needs it stays there, the rest go on.
    """
    users: dict[tuple[str, int], list[_Attempt]] = {}
    for one in moving:
        one.rate = 0.0
        for name in _SHARED:
            if one.demand.storage[name]:
                users.setdefault((name, -1), []).append(one)
        for name in _LOCAL:
            if one.demand.node[name]:
                users.setdefault((name, one.node), []).append(one)
    _fill_up(list(moving), users)
    for one in moving:
        long = 1 / one.rate if one.rate else 0.0
        one.rate = 1 / max(long + one.demand.idle, one.demand.own * one.factor, _TINY)


def _seconds(one: _Attempt, name: str) -> float:
    return one.demand.storage[name] if name in _SHARED else one.demand.node[name] * one.factor


def _fill_up(growing: list[_Attempt], users: dict[tuple[str, int], list[_Attempt]]) -> None:
    room = dict.fromkeys(users, 1.0)
    open_ = {one: _weight(one) for one in growing}
    while open_:
        loads = {
            key: sum(_seconds(one, key[0]) * open_[one] for one in using if one in open_)
            for key, using in users.items()
        }
        full = {key: room[key] / load for key, load in loads.items() if load > 0}
        if not full:
            for one in open_:
                one.rate = 1 / _TINY
            return
        step = min(full.values())
        for one, weight in open_.items():
            one.rate += weight * step
        for key, load in loads.items():
            room[key] -= load * step
        for key, limit in full.items():
            if limit <= step * (1 + 1e-12):
                for one in users[key]:
                    open_.pop(one, None)


def _weight(one: _Attempt) -> float:
    """Return shards a second for each byte a second: flows grow alike in bytes, so small shards go faster."""
    busiest = max(one.demand.shared, one.demand.local)
    return 1 / busiest if busiest else 1.0
