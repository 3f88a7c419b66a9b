"""How a run makes an autoscaler bring nodes: by tasks that wait for a whole node and do nothing on it.

The driver places attempts on nodes that are there, so nothing queues in Ray
for an autoscaler to see. What waits here is seen, and vanishes with the
driver, also when that is killed, so that nodes go down again by themselves.
Rejected: `ray.autoscaler.sdk.request_resources`, whose request outlives a
killed driver.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import ray

from distexpand.cluster.fleet import Fleet
from distexpand.cluster.nodes import Node, usable_nodes
from distexpand.cluster.options import ClusterOptions

MOST_WAITING = 64
"""Nodes asked for at once; more are asked for when these have come."""

ASK_SECONDS = 5.0
"""A node that is free after all runs what waits for it at once; ask no more often than this."""


def _take_a_node() -> None:
    """Run on a node that has come; it is used from then on."""


class Demand:
    """Keeps as many waiting tasks as nodes are missing for the attempts that could run."""

    def __init__(self, options: ClusterOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._asked = clock()  # a run of seconds needs no node that takes a minute to come
        self._task = ray.remote(max_retries=0)(_take_a_node)
        self._waiting: list[Any] = []
        self._example: Node | None = None

    def want(self, waiting: int, under_way: int, fleet: Fleet) -> None:
        """Ask for the nodes that would let all shards that wait begin; at most every few seconds.

        Args:
            waiting: shards that no attempt is under way for.
            under_way: attempts under way. While nodes take more of them, nothing is asked for.
            fleet: the nodes that are there.
        """
        if self._clock() - self._asked < ASK_SECONDS:
            return
        self._asked = self._clock()
        if self._waiting:
            _, self._waiting = ray.wait(self._waiting, num_returns=len(self._waiting), timeout=0)
        # Where all nodes are gone, what is asked for is what was there.
        example = self._example = _usual(fleet) or self._example
        missing = _missing(waiting, under_way, fleet, self._options, example.slots) if example else 0
        while len(self._waiting) > missing:
            ray.cancel(self._waiting.pop())
        while example and len(self._waiting) < missing:
            whole = self._task.options(num_cpus=example.whole_cpus, resources=dict(example.whole_resources))
            self._waiting.append(whole.remote())

    def release(self) -> None:
        """Ask for nothing any more; Ray may show what was asked for until a node comes or the driver ends."""
        while self._waiting:
            ray.cancel(self._waiting.pop())


def first_nodes(
    options: ClusterOptions, told: Callable[[str], None], stop: threading.Event
) -> dict[str, Node]:
    """Return the usable nodes; if there are none, ask for one and wait as long as the options say."""
    nodes = usable_nodes(options)
    if nodes or not options.wait_for_nodes:
        return nodes
    told(f"the cluster has no node yet; waiting up to {options.wait_for_nodes:.0f} s for one")
    demand = ray.remote(max_retries=0)(_take_a_node).options(num_cpus=1).remote()
    until = time.monotonic() + options.wait_for_nodes
    while not nodes and time.monotonic() < until and not stop.wait(1):
        nodes = usable_nodes(options)
    ray.cancel(demand)
    return nodes


def _missing(waiting: int, under_way: int, fleet: Fleet, options: ClusterOptions, slots: int) -> int:
    """Return how many nodes of so many slots to ask for."""
    if under_way < fleet.slots():
        return 0
    wanted = min(waiting + under_way, options.max_in_flight or waiting + under_way)
    return min(MOST_WAITING, max(0, math.ceil((wanted - fleet.slots()) / slots)))


def _usual(fleet: Fleet) -> Node | None:
    """Return a node of the most frequent kind: what comes will probably be like it."""
    nodes = fleet.nodes.values()
    kinds = Counter((node.whole_cpus, *sorted(node.whole_resources.items())) for node in nodes)
    return max(nodes, key=lambda n: kinds[n.whole_cpus, *sorted(n.whole_resources.items())], default=None)
