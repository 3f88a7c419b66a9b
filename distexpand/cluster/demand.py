"""How a run makes an autoscaler bring nodes: by tasks that wait for a whole node and do nothing on it.

The driver places attempts on nodes that are there, so nothing queues in Ray
for an autoscaler to see. What waits here is seen, and vanishes with the
driver, also when that is killed, so that nodes go down again by themselves.
Rejected: `ray.autoscaler.sdk.request_resources`, whose request outlives a
killed driver.
"""

import math
from typing import Any

import ray

from distexpand.cluster.fleet import Fleet
from distexpand.cluster.options import ClusterOptions

MOST_WAITING = 64
"""Nodes asked for at once; more are asked for when these have come."""


def _take_a_node() -> None:
    """Run on a node that has come; it is used from then on."""


class Demand:
    """Keeps as many waiting tasks as nodes are missing for the attempts that could run."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._task = ray.remote(max_retries=0)(_take_a_node)
        self._waiting: list[Any] = []

    def want(self, attempts: int, fleet: Fleet) -> None:
        """Ask for enough nodes to have so many attempts under way at once."""
        example = next(iter(fleet.nodes.values()), None)
        if example is None:
            return
        wanted = min(attempts, self._options.max_in_flight or attempts)
        missing = math.ceil((wanted - fleet.slots()) / example.slots)
        if self._waiting:
            _, self._waiting = ray.wait(self._waiting, num_returns=len(self._waiting), timeout=0)
        while len(self._waiting) > max(0, missing):
            ray.cancel(self._waiting.pop())
        while len(self._waiting) < min(missing, MOST_WAITING):
            whole = self._task.options(num_cpus=example.whole_cpus, resources=dict(example.whole_resources))
            self._waiting.append(whole.remote())

    def release(self) -> None:
        """Ask for nothing any more."""
        while self._waiting:
            ray.cancel(self._waiting.pop())
