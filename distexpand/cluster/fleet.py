"""The nodes in use during a run: who may take another attempt, who joined, who is left out.

A node that joins while the run goes on (an autoscaler's, a restarted one) is
checked like the first ones before it gets an attempt. A node on which attempts
keep failing gets none for a while, as long as there are others.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from distexpand.cluster.nodes import Node
from distexpand.errors import DistexpandError

REFRESH_SECONDS = 2.0
REST_SECONDS = 60.0
FAILURES_TO_REST = 2


class Fleet:
    """Knows the nodes; `look` returns those that live now, `check` what is wrong with new ones."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        look: Callable[[], Mapping[str, Node]],
        check: Callable[[Mapping[str, Node]], Mapping[str, DistexpandError]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.nodes = dict(nodes)
        self._look = look
        self._check = check
        self._clock = clock
        self._looked = clock()
        self._refused: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._resting: dict[str, float] = {}

    def refresh(self) -> list[tuple[Node, DistexpandError | None]]:
        """Look who lives, at most every few seconds; return who joined, and why one of them may not."""
        if self._clock() - self._looked < REFRESH_SECONDS:
            return []
        self._looked = self._clock()
        alive = self._look()
        new = {key: node for key, node in alive.items() if key not in self.nodes and key not in self._refused}
        self.nodes = {key: node for key, node in self.nodes.items() if key in alive}
        if not new:
            return []
        wrong = self._check(new)
        self._refused |= wrong.keys()
        self.nodes |= {key: node for key, node in new.items() if key not in wrong}
        return [(node, wrong.get(key)) for key, node in new.items()]

    def slots(self) -> int:
        """Return how many attempts the nodes take at once."""
        return sum(node.slots for node in self.nodes.values())

    def pick(self, busy: Counter[str], *, avoid: frozenset[str] = frozenset()) -> Node | None:
        """Return the least busy node with a free slot that isn't one to avoid, or nothing.

        Args:
            busy: attempts under way by node.
            avoid: nodes that shall not be taken while there is any other one in use.
        """
        now = self._clock()
        rested = [node for key, node in self.nodes.items() if self._resting.get(key, 0.0) <= now]
        able = rested or list(self.nodes.values())
        wanted = [node for node in able if node.node_id not in avoid] or able
        free = [node for node in wanted if busy[node.node_id] < node.slots]
        return min(free, key=lambda node: busy[node.node_id] / node.slots, default=None)

    def has_others(self, avoid: frozenset[str]) -> bool:
        """Whether there is a node besides those."""
        return bool(self.nodes.keys() - avoid)

    def succeeded(self, node_id: str) -> None:
        """Note that an attempt was whole there."""
        self._failures.pop(node_id, None)

    def failed(self, node_id: str) -> None:
        """Note that an attempt failed there."""
        self._failures[node_id] += 1
        if self._failures[node_id] >= FAILURES_TO_REST:
            self._resting[node_id] = self._clock() + REST_SECONDS
