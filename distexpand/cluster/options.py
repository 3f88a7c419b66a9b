"""How a run uses a cluster: what a user may set, with the defaults that suit most."""

from dataclasses import dataclass

DEFAULT_PER_NODE = 2
DEFAULT_TRIES = 5
DEFAULT_THREADS = 4
MOST_THREADS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Limits of a run on a cluster.

    `per_node` attempts at once on one node (fewer where its custom resource `io` says so),
    each with `threads` blocks at once; `max_in_flight` attempts at once in all, or as many as
    the nodes take; `tries` attempts at one shard before it is given up; `wait_for_output`
    seconds for another driver of the output to end or vanish, `wait_for_nodes` seconds for the
    first node of a cluster that scales from nothing. `run` names the run in its log.
    """

    per_node: int = DEFAULT_PER_NODE
    threads: int = DEFAULT_THREADS
    max_in_flight: int | None = None
    tries: int = DEFAULT_TRIES
    wait_for_output: float = 120.0
    wait_for_nodes: float = 0.0
    run: str = ""
