"""The driver: keeps a window of attempts in flight, commits what comes back, survives what clusters do.

It alone decides: Ray retries nothing by itself. A shard that fails is tried
elsewhere, a few times; one that stays impossible doesn't hold up the others,
which are kept. A shard that lags or is silent is begun once more on another
node, and the first whole attempt wins. What a cut-off node still writes lies
under a name that nobody will ever commit.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distexpand.cluster.board import Board, Look
from distexpand.cluster.demand import Demand
from distexpand.cluster.events import (
    AttemptDoubled,
    AttemptLost,
    EventSink,
    Noted,
    Progressed,
    RunBegan,
    ShardDone,
    Worker,
)
from distexpand.cluster.fleet import Fleet
from distexpand.cluster.flights import Flight, Lost, Tower, cancel, error_of, landed, outcome
from distexpand.cluster.lag import Pace, why_double
from distexpand.cluster.options import ClusterOptions
from distexpand.cluster.orphans import Orphans
from distexpand.cluster.task import Attempted
from distexpand.commit.committer import Committer
from distexpand.engine.receipt import Receipt
from distexpand.errors import InterruptedRunError, OutputError, OutputTakenError
from distexpand.planning.codec.plans import plan_digest
from distexpand.planning.model import ShardPlan

TICK_SECONDS = 0.5
PROGRESS_SECONDS = 1.0
LONELY_SECONDS = 180.0
"""How long a run waits while the cluster has no usable node."""

STOP_SECONDS = 2.0
"""How long whole shards are waited for when a run is stopped: a stopped job is killed after three seconds."""

MOST_AT_ONCE = 3
"""Attempts at one shard at the same time."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_BOARD_SECONDS = 2.0


def drive(
    committer: Committer,
    fleet: Fleet,
    *,
    options: ClusterOptions,
    stop: threading.Event,
    events: EventSink,
) -> None:
    """Execute the shards that aren't committed yet on the fleet, and commit each as it comes.

    Raises:
        OutputError: shards failed for good, no node is left, or another run took over; the rest is kept.
        InterruptedRunError: `stop` was set; what is committed stays.
    """
    board = _board()
    try:
        driver = _Driver(committer, fleet, board, options, events)
        driver.run(stop)
    finally:
        with suppress(ray.exceptions.RayError):
            ray.kill(board)


def _board() -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, max_restarts=3)(Board).options(scheduling_strategy=here).remote()


class _Driver:
    """State of one run."""

    def __init__(
        self, committer: Committer, fleet: Fleet, board: Any, options: ClusterOptions, events: EventSink
    ) -> None:
        self._committer = committer
        self._fleet = fleet
        self._board = board
        self._options = options
        self._events = events
        self._tower = Tower(
            committer.plan,
            run=options.run,
            attempts=str(committer.attempts),
            threads=options.threads,
            board=board,
        )
        # The largest first: one that is begun last is waited for by all nodes but its own.
        missing = [s for s in committer.plan.shards if s.name not in committer.receipts]
        self._waiting = deque(sorted(missing, key=lambda s: s.size, reverse=True))
        self._flights: list[Flight] = []
        self._tries: Counter[str] = Counter()
        self._failed: dict[str, str] = {}
        self._avoid: dict[str, frozenset[str]] = {}
        self._paces: list[float] = []
        self._look = Look(age=0.0, sightings={})
        self._orphans = Orphans(committer.attempts)
        self._demand = Demand(options)
        self._not_before: dict[str, float] = {}
        self._told = self._heard = 0.0
        self._asked: Any = None
        self._lonely_since: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until every shard is committed or has failed."""
        self._tell_beginning()
        try:
            while self._waiting or self._open_flights():
                if stop.is_set():
                    raise InterruptedRunError(
                        "interrupted", hint="Finished shards are kept; go on with --resume."
                    )
                self._look_at_nodes()
                self._launch()
                self._demand.want(len(self._waiting), len(self._flights), self._fleet)
                self._land(landed(self._flights, wait=TICK_SECONDS) if self._flights else [])
                if not self._flights:
                    time.sleep(TICK_SECONDS if self._waiting else 0)
                self._watch()
            self._tell_progress()
        finally:
            self._end()
        if self._failed:
            self._give_up()

    def _tell_beginning(self) -> None:
        plan, receipts = self._committer.plan, self._committer.receipts
        self._events(
            RunBegan(
                output=str(self._committer.output),
                plan=plan_digest(plan),
                total_bytes=sum(shard.size for shard in plan.shards),
                done_bytes=sum(receipt.size for receipt in receipts.values()),
                shards=len(plan.shards),
                shards_done=len(receipts),
            )
        )

    def _open_flights(self) -> bool:
        """Whether any attempt is under way that is still of use."""
        return any(self._is_open(flight.shard) for flight in self._flights)

    def _is_open(self, shard: ShardPlan) -> bool:
        return shard.name not in self._committer.receipts and shard.name not in self._failed

    def _look_at_nodes(self) -> None:
        for node, error in self._fleet.refresh():
            words = f"can't be used: {error.message}" if error else "joined"
            self._events(Noted(message=f"node {node.name} {words}", level="warning" if error else "info"))
        if self._fleet.nodes:
            self._lonely_since = None
            return
        now = time.monotonic()
        if self._lonely_since is None:
            self._lonely_since = now
            self._events(Noted(message="no usable node is left; waiting for one", level="warning"))
        elif now - self._lonely_since > max(LONELY_SECONDS, self._options.wait_for_nodes):
            raise OutputError(
                f"no usable node for {now - self._lonely_since:.0f} s",
                hint="Finished shards are kept; bring nodes back and go on with --resume.",
            )

    def _launch(self) -> None:
        now = time.monotonic()
        ready = deque(s for s in self._waiting if self._not_before.get(s.name, now) <= now)
        while ready and self._has_room():
            shard = ready.popleft()
            node = self._fleet.pick(self._busy(), avoid=self._avoid.get(shard.name, frozenset()))
            if node is None:
                # One that avoids nodes must not keep the others from those.
                if shard.name in self._avoid:
                    continue
                return
            self._waiting.remove(shard)
            self._flights.append(self._tower.start(shard, node, now=now))

    def _has_room(self) -> bool:
        """Whether another attempt may begin; those of no more use, which a lost node keeps, don't count."""
        limit = self._options.max_in_flight
        return limit is None or sum(self._is_open(flight.shard) for flight in self._flights) < limit

    def _busy(self) -> Counter[str]:
        return Counter(flight.node.node_id for flight in self._flights)

    def _land(self, flights: Sequence[Flight]) -> None:
        over = {flight.attempt for flight in flights}
        self._flights = [flight for flight in self._flights if flight.attempt not in over]
        for flight in flights:
            result = outcome(flight)
            if isinstance(result, Attempted) and result.receipt is not None:
                self._take(flight, result.receipt)
            elif self._is_open(flight.shard):
                self._lose(flight, result)
            else:
                self._orphans.add(flight.attempt)
        if over:
            self._board.forget.remote(sorted(over))

    def _take(self, flight: Flight, receipt: Receipt) -> None:
        """Commit a whole attempt, unless another one was faster."""
        if not self._is_open(flight.shard):
            self._orphans.add(flight.attempt)
            return
        try:
            self._committer.commit(receipt)
        except OutputTakenError:
            raise
        except OutputError as error:  # the node sees another directory by now
            self._lose(flight, Lost(reason=error.message))
            return
        self._fleet.succeeded(flight.node.node_id)
        self._paces.append(receipt.seconds / max(1, receipt.size))
        self._events(
            ShardDone(
                shard=receipt.shard,
                attempt=receipt.attempt,
                node=flight.node.name,
                size=receipt.size,
                seconds=receipt.seconds,
            )
        )
        for other in self._flights:
            if other.shard.name == flight.shard.name:
                cancel(other)

    def _lose(self, flight: Flight, result: Attempted | Lost) -> None:
        """Try a shard again elsewhere, or give it up when it was tried often enough."""
        error = error_of(result) if isinstance(result, Attempted) else None
        reason = error.message if error else result.reason if isinstance(result, Lost) else ""
        name = flight.shard.name
        self._fleet.failed(flight.node.node_id)
        self._orphans.add(flight.attempt)
        self._tries[name] += 1
        self._avoid[name] = self._avoid.get(name, frozenset()) | {flight.node.node_id}
        under_way = any(other.shard.name == name for other in self._flights)
        again = self._tries[name] < self._options.tries
        self._events(
            AttemptLost(shard=name, attempt=flight.attempt, node=flight.node.name, reason=reason, retry=again)
        )
        if under_way:
            return
        if again:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._tries[name] - 1))
            self._not_before[name] = time.monotonic() + pause
            self._waiting.appendleft(flight.shard)
        else:
            self._failed[name] = reason

    def _watch(self) -> None:
        """About once a second: read the board, tell of progress, look for laggards, collect orphans."""
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        self._read_board(now)
        self._committer.require_held()
        self._orphans.collect()
        self._tell_progress()
        self._double_laggards(now)

    def _read_board(self, now: float) -> None:
        """Take what the board has answered, never waiting for it, and ask again."""
        if self._asked is not None:
            ready, _ = ray.wait([self._asked], timeout=0)
            if not ready:
                return
            with suppress(ray.exceptions.RayError):
                self._look = ray.get(self._asked, timeout=_BOARD_SECONDS)
                self._heard = now
        self._asked = self._board.read.remote()

    def _tell_progress(self) -> None:
        best: dict[str, int] = {}
        workers = []
        for flight in self._flights:
            seen = self._look.sightings.get(flight.attempt)
            done = seen.done_bytes if seen else 0
            if self._is_open(flight.shard):
                best[flight.shard.name] = max(done, best.get(flight.shard.name, 0))
                workers.append(
                    Worker(
                        node=flight.node.name,
                        shard=flight.shard.name,
                        attempt=flight.attempt,
                        done_bytes=done,
                        size=flight.shard.size,
                    )
                )
        done = sum(receipt.size for receipt in self._committer.receipts.values())
        self._events(Progressed(done_bytes=done + sum(best.values()), workers=tuple(workers)))

    def _double_laggards(self, now: float) -> None:
        if self._heard != now:
            return  # nobody is heard of: that says nothing of the attempts
        by_shard: dict[str, list[Flight]] = {}
        for flight in self._flights:
            if self._is_open(flight.shard):
                by_shard.setdefault(flight.shard.name, []).append(flight)
        for flights in by_shard.values():
            reasons = [why_double(self._pace(flight, now), self._paces) for flight in flights]
            if all(reasons) and len(flights) < MOST_AT_ONCE:
                self._double(flights, reasons[0], now)

    def _pace(self, flight: Flight, now: float) -> Pace:
        seen, elapsed = self._look.sightings.get(flight.attempt), now - flight.began
        return Pace(
            elapsed=elapsed,
            silence=min(seen.age if seen else self._look.age, elapsed),
            stalled=seen.stalled if seen else 0.0,
            begun=seen is not None,
            done_bytes=seen.done_bytes if seen else 0,
            size=flight.shard.size,
        )

    def _double(self, flights: Sequence[Flight], reason: str, now: float) -> None:
        taken = frozenset(flight.node.node_id for flight in flights)
        if not self._fleet.has_others(taken):
            return
        node = self._fleet.pick(self._busy(), avoid=taken)
        if node is None or node.node_id in taken:
            return
        flight = self._tower.start(flights[0].shard, node, now=now)
        self._flights.append(flight)
        self._events(
            AttemptDoubled(shard=flight.shard.name, attempt=flight.attempt, node=node.name, reason=reason)
        )

    def _end(self) -> None:
        """Ask whatever is still under way to end, and keep the shards that are whole."""
        self._demand.release()
        for flight in self._flights:
            cancel(flight)
        until = time.monotonic() + (STOP_SECONDS if self._open_flights() else 0)
        while self._open_flights() and time.monotonic() < until:
            over = landed(self._flights, wait=TICK_SECONDS)
            self._flights = [flight for flight in self._flights if flight not in over]
            for flight in over:
                result = outcome(flight)
                if isinstance(result, Attempted) and result.receipt is not None:
                    self._take(flight, result.receipt)

    def _give_up(self) -> None:
        name, reason = next(iter(self._failed.items()))
        raise OutputError(
            f"{len(self._failed)} of {len(self._committer.plan.shards)} shards failed, each after "
            f"{self._options.tries} attempts; {name}: {reason}",
            hint="The other shards are kept; mend the cause and go on with --resume.",
        )
