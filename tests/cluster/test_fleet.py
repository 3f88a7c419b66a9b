"""The fleet during a run: even spreading, nodes to avoid, nodes that rest, join, vanish or are refused."""

import threading
import time
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from distexpand.cluster.fleet import AGAIN_SECONDS, REFRESH_SECONDS, REST_SECONDS, Fleet
from distexpand.cluster.nodes import Node
from distexpand.errors import DistexpandError, StorageError, UsageError
from tests.cluster.entries import nodes


class World:
    """What a fleet sees: nodes that live, what is wrong with them, and time, which tests move on."""

    def __init__(self, **cpus: float) -> None:
        self.now = 100.0
        self.alive = {node.node_id: node for node in nodes(**cpus).values()}
        self.wrong: dict[str, DistexpandError] = {}
        self.checked: list[set[str]] = []
        self.answering = threading.Event()
        self.answering.set()
        self.fleet = Fleet(self.alive, lambda: dict(self.alive), self._check, clock=lambda: self.now)

    def _check(self, new: Mapping[str, Node]) -> Mapping[str, DistexpandError]:
        assert self.answering.wait(20)
        self.checked.append({node.name for node in new.values()})
        return {key: self.wrong[node.name] for key, node in new.items() if node.name in self.wrong}

    def join(self, name: str) -> None:
        self.alive |= {node.node_id: node for node in nodes(**{name: 2}).values()}

    def leave(self, name: str) -> None:
        self.alive = {key: node for key, node in self.alive.items() if node.name != name}

    def names(self) -> set[str]:
        return {node.name for node in self.fleet.nodes.values()}

    def news(self, *, after: float = REFRESH_SECONDS) -> dict[str, str]:
        """Let time go on, refresh until a check that was begun has ended, and return who joined."""
        self.now += after
        found = self.fleet.refresh()
        deadline = time.monotonic() + 10
        while not found and self.fleet._checking is not None and time.monotonic() < deadline:
            time.sleep(0.005)
            found = self.fleet.refresh()
        return {node.name: error.message if error else "" for node, error in found}


def _spread(fleet: Fleet, attempts: int) -> Counter[str]:
    busy: Counter[str] = Counter()
    for _ in range(attempts):
        node = fleet.pick(busy)
        if node is None:
            break
        busy[node.node_id] += 1
    return busy


def test_six_attempts_on_three_nodes_are_two_each() -> None:
    world = World(one=4, two=4, three=4)
    assert sorted(_spread(world.fleet, 6).values()) == [2, 2, 2]
    assert world.fleet.pick(_spread(world.fleet, 6)) is None


@given(
    slots=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    attempts=st.integers(0, 40),
    avoided=st.sets(st.integers(0, 5)),
)
def test_no_node_gets_more_than_it_takes_and_none_lags_behind(
    slots: list[int], attempts: int, avoided: set[int]
) -> None:
    chosen = {}
    for number, count in enumerate(slots):
        [node] = nodes(per_node=count, **{f"n{number}": 8}).values()
        chosen[node.node_id] = node
    fleet = Fleet(chosen, lambda: chosen, lambda _: {})
    assert fleet.slots() == sum(slots)
    busy = _spread(fleet, attempts)
    assert busy.total() == min(attempts, sum(slots))
    shares = [busy[key] / node.slots for key, node in chosen.items()]
    assert all(share <= 1 for share in shares)
    # The next one goes to a node that is the least busy of all.
    avoid = frozenset(key for number, key in enumerate(chosen) if number in avoided)
    node = fleet.pick(busy, avoid=avoid)
    rest = [key for key in chosen if key not in avoid] or list(chosen)
    if node is None:
        assert all(busy[key] == chosen[key].slots for key in rest)
    else:
        assert node.node_id in rest
        assert busy[node.node_id] / node.slots == min(busy[key] / chosen[key].slots for key in rest)


def test_a_node_to_avoid_is_taken_only_where_it_is_the_only_one() -> None:
    world = World(one=4, two=4)
    one, two = world.alive
    assert _picked(world, avoid={one}) == "two"
    assert _picked(world, Counter({two: 2}), avoid={one}) is None  # rather wait for the other one
    assert _picked(world, avoid={one, two}) is not None
    world.leave("two")
    world.news()
    assert _picked(world, avoid={one}) == "one"
    assert not world.fleet.has_others(frozenset({one}))


def _picked(world: World, busy: Counter[str] | None = None, *, avoid: set[str] = frozenset()) -> str | None:
    node = world.fleet.pick(busy or Counter(), avoid=frozenset(avoid))
    return node.name if node else None


def test_a_node_rests_after_two_failures_in_a_row() -> None:
    world = World(one=4, two=4)
    one, two = world.alive
    world.fleet.failed(one)
    world.fleet.succeeded(one)
    world.fleet.failed(one)
    assert _picked(world, Counter({two: 1})) == "one"
    world.fleet.failed(one)
    assert _picked(world, Counter({two: 1})) == "two"
    assert _picked(world, Counter({two: 2})) is None
    world.now += REST_SECONDS + 1
    assert _picked(world, Counter({two: 1})) == "one"


def test_where_all_nodes_should_rest_the_work_goes_on() -> None:
    world = World(one=4)
    [one] = world.alive
    for _ in range(5):
        world.fleet.failed(one)
    assert _picked(world) == "one"


def test_a_node_that_joins_is_checked_first_and_one_that_vanished_is_dropped() -> None:
    world = World(one=4)
    assert world.news() == {}
    world.join("two")
    assert world.news(after=REFRESH_SECONDS / 2) == {}
    assert world.news() == {"two": ""}
    assert world.names() == {"one", "two"}
    world.leave("one")
    assert world.news() == {}
    assert world.names() == {"two"}
    assert world.checked == [{"two"}]


def test_a_check_that_hangs_holds_nobody_up() -> None:
    world = World(one=4)
    world.answering.clear()
    world.join("two")
    began = time.monotonic()
    world.now += REFRESH_SECONDS
    assert world.fleet.refresh() == []
    assert time.monotonic() - began < 5
    assert _picked(world) == "one"
    world.leave("two")
    world.join("three")
    world.now += REFRESH_SECONDS
    assert world.fleet.refresh() == []
    world.answering.set()
    assert world.news() == {}  # of the one that has gone since
    assert world.news() == {"three": ""}
    assert world.names() == {"one", "three"}


def test_a_node_of_another_version_is_refused_for_good_and_told_of_once() -> None:
    world = World(one=4)
    world.wrong["two"] = UsageError("node two runs Ray 1.0, the driver 2.0")
    world.join("two")
    assert world.news() == {"two": "node two runs Ray 1.0, the driver 2.0"}
    assert world.news(after=10 * AGAIN_SECONDS) == {}
    assert world.names() == {"one"}
    assert world.checked == [{"two"}]


def test_a_node_that_lacked_something_is_looked_at_again() -> None:
    world = World(one=4)
    world.wrong["two"] = StorageError("node two didn't answer")
    world.join("two")
    assert world.news() == {"two": "node two didn't answer"}
    assert world.news() == {}
    assert world.news(after=AGAIN_SECONDS) == {}  # checked again, the same, no news
    assert world.checked == [{"two"}, {"two"}]
    del world.wrong["two"]
    assert world.news(after=AGAIN_SECONDS) == {"two": ""}
    assert world.names() == {"one", "two"}


def test_a_check_that_fails_itself_leaves_the_node_out_and_the_run_going() -> None:
    def check(_: Mapping[str, Node]) -> Mapping[str, DistexpandError]:
        raise StorageError("/out: can't write: No space left on device")

    world = World(one=4)
    world.fleet._check = check
    world.join("two")
    assert world.news() == {"two": "/out: can't write: No space left on device"}
    assert world.names() == {"one"}
