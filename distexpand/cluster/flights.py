"""Attempts under way, and the two ways in which a Ray task can end."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distexpand.cluster.nodes import Node
from distexpand.cluster.task import Attempted, Order, OrderedSource, execute_order
from distexpand.errors import StorageError
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import sources_of

_RESULT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One attempt: `began` is the driver's monotonic time in seconds."""

    shard: ShardPlan
    attempt: str
    node: Node
    began: float
    reference: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An attempt that ended without a word of ours: its worker or node died, or memory ran out."""

    reason: str


def ordered_sources(plan: Plan) -> tuple[OrderedSource, ...]:
    """Return a plan's sources of weights and side files with where they lie."""
    locations = dict(plan.locations)
    return tuple(
        OrderedSource(
            number=number,
            model=source.model,
            location=locations[source.model],
            path=source.path,
            size=source.size,
            pin=source.pin,
        )
        for number, source in enumerate(plan.sources)
    )


class Tower:
    """Starts attempts on nodes and takes in how they ended."""

    def __init__(self, plan: Plan, *, run: str, attempts: str, threads: int, board: Any) -> None:
        self._sources = ordered_sources(plan)
        self._run = run
        self._attempts = attempts
        self._threads = threads
        self._board = board
        # The driver alone retries: it counts, waits, and chooses another node.
        self._task = ray.remote(max_retries=0)(execute_order)

    def start(self, shard: ShardPlan, node: Node, *, now: float) -> Flight:
        """Begin an attempt at a shard on a node."""
        attempt = f"{shard.name}.{secrets.token_hex(8)}"
        order = Order(
            run=self._run,
            attempt=attempt,
            shard=shard,
            sources=tuple(self._sources[number] for number in sorted(sources_of(shard.operations))),
            attempts=self._attempts,
            threads=self._threads,
        )
        task = self._task.options(
            name="distexpand:shard",
            num_cpus=node.num_cpus,
            resources=dict(node.resources),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        )
        reference = task.remote(order, self._board)
        return Flight(shard=shard, attempt=attempt, node=node, began=now, reference=reference)


def landed(flights: list[Flight], *, wait: float) -> list[Flight]:
    """Return the flights that have ended, waiting at most `wait` seconds for the first."""
    ready, _ = ray.wait(
        [flight.reference for flight in flights], num_returns=1, timeout=wait, fetch_local=False
    )
    if ready:
        ready, _ = ray.wait(
            [flight.reference for flight in flights], num_returns=len(flights), timeout=0, fetch_local=False
        )
    over = set(ready)
    return [flight for flight in flights if flight.reference in over]


def outcome(flight: Flight) -> Attempted | Lost:
    """Return how a flight that has landed ended; what nobody foresaw is in the worker's log."""
    try:
        attempted: Attempted = ray.get(flight.reference, timeout=_RESULT_SECONDS)
    except ray.exceptions.OutOfMemoryError:
        return Lost(reason="out of memory: Ray's memory monitor ended the worker")
    except ray.exceptions.TaskCancelledError:
        return Lost(reason="cancelled")
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MemoryError):
            return Lost(reason="out of memory: the worker could allocate no more")
        return Lost(reason=f"{type(error.cause or error).__name__}: {error.cause or error}")
    except ray.exceptions.RayError as error:
        return Lost(reason=_lost_reason(error))
    return attempted


def cancel(flight: Flight) -> None:
    """Ask an attempt to end; what is out of reach doesn't hear it, and does no harm."""
    try:
        ray.cancel(flight.reference, force=False)
    except (ray.exceptions.RayError, ValueError, TypeError):
        return


def error_of(attempted: Attempted) -> StorageError | None:
    """Return the error that an attempt ended with, if any, as one that names the node."""
    if attempted.error is None:
        return None
    return StorageError(f"node {attempted.node}: {attempted.error.message}", hint=attempted.error.hint)


def _lost_reason(error: Exception) -> str:
    kind = type(error).__name__
    words = {
        "WorkerCrashedError": "its worker process died",
        "NodeDiedError": "its node died",
        "LocalRayletDiedError": "its node's Ray died",
        "TaskUnschedulableError": "its node is gone",
        "ActorUnschedulableError": "its node is gone",
        "GetTimeoutError": "its result didn't arrive",
    }
    return words.get(kind, f"{kind}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")
