"""The nodes in use during a run: who may take another attempt, who joined, who is left out.

A node that joins while the run goes on (an autoscaler's, a restarted one) is
checked like the first ones before it gets an attempt; beside the run, since a
node may take a minute to answer or never do. A node on which attempts keep
failing gets none for a while, as long as there are others.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from distexpand.cluster.nodes import Node
from distexpand.errors import DistexpandError, StorageError, UsageError

REFRESH_SECONDS = 2.0
REST_SECONDS = 60.0
FAILURES_TO_REST = 2
AGAIN_SECONDS = 60.0
"""A node that lacked something is checked once more after so long; one of another version isn't."""

Check = Callable[[Mapping[str, Node]], Mapping[str, DistexpandError]]


class Fleet:
    """Knows the nodes; `look` returns those that live now, `check` what is wrong with new ones."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        look: Callable[[], Mapping[str, Node]],
        check: Check,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.nodes = dict(nodes)
        self._look = look
        self._check = check
        self._clock = clock
        self._looked = clock()
        self._alive: frozenset[str] = frozenset(nodes)
        self._checking: _Checking | None = None
        self._refused: dict[str, DistexpandError] = {}
        self._again: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._resting: dict[str, float] = {}

    def refresh(self) -> list[tuple[Node, DistexpandError | None]]:
        """Look who lives, at most every few seconds; return who joined, and why one of them may not."""
        if self._clock() - self._looked >= REFRESH_SECONDS:
            self._looked = self._clock()
            alive = self._look()
            self._alive = frozenset(alive)
            self.nodes = {key: node for key, node in self.nodes.items() if key in alive}
            new = {key: node for key, node in alive.items() if self._is_to_check(key)}
            if new and self._checking is None:
                self._checking = _Checking(new, self._check)
        return self._take_verdicts()

    def _is_to_check(self, key: str) -> bool:
        if key in self.nodes:
            return False
        return key not in self._refused or self._again.get(key, self._clock() + 1) <= self._clock()

    def _take_verdicts(self) -> list[tuple[Node, DistexpandError | None]]:
        """Return news of the check that has ended, if one has; the same refusal isn't news twice."""
        if self._checking is None or not self._checking.ended.is_set():
            return []
        checked, self._checking = self._checking, None
        news: list[tuple[Node, DistexpandError | None]] = []
        for key, node in checked.nodes.items():
            error, before = checked.wrong.get(key), self._refused.pop(key, None)
            if key not in self._alive:
                continue
            if error is None:
                self.nodes[key] = node
            else:
                self._refuse(key, error)
            if error is None or before is None or before.message != error.message:
                news.append((node, error))
        return news

    def _refuse(self, key: str, error: DistexpandError) -> None:
        self._refused[key] = error
        self._again.pop(key, None)
        if not isinstance(error, UsageError):
            self._again[key] = self._clock() + AGAIN_SECONDS

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


class _Checking:
    """A check of new nodes that goes on beside the run; `wrong` counts once `ended` is set."""

    def __init__(self, nodes: Mapping[str, Node], check: Check) -> None:
        self.nodes = nodes
        self.wrong: Mapping[str, DistexpandError] = {}
        self.ended = threading.Event()
        threading.Thread(target=self._run, args=(check,), daemon=True, name="preflight").start()

    def _run(self, check: Check) -> None:
        try:
            self.wrong = check(self.nodes)
        except DistexpandError as error:
            self.wrong = dict.fromkeys(self.nodes, error)
        except Exception as error:  # noqa: BLE001  # of Ray, or a defect: neither may end a run that goes well
            problem = StorageError(f"it can't be checked: {type(error).__name__}: {error}")
            self.wrong = dict.fromkeys(self.nodes, problem)
        finally:
            self.ended.set()
