"""Which nodes take part and what each attempt asks for; what can't ever run is refused in words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from distexpand.cluster.nodes import (
    Node,
    attempt_memory_bytes,
    choose_nodes,
    require_feasible,
)
from distexpand.cluster.options import ClusterOptions
from distexpand.cluster.preflight import expected
from distexpand.cluster.run import check_joined
from distexpand.errors import UsageError
from tests.cluster.entries import entry


def _chosen(*entries: dict[str, object], per_node: int = 2) -> dict[str, Node]:
    found = choose_nodes(list(entries), ClusterOptions(per_node=per_node))
    assert all(key == node.node_id for key, node in found.items())
    return {node.name: node for node in found.values()}


def test_a_head_without_cpus_takes_nothing() -> None:
    assert _chosen(entry("head"), entry("one", cpus=4)).keys() == {"one"}
    assert not _chosen(entry("head"))


def test_a_custom_resource_chooses_the_nodes_and_their_slots() -> None:
    found = _chosen(entry("head", cpus=8), entry("one", cpus=8, io=1), entry("two", io=6), per_node=3)
    assert {name: node.slots for name, node in found.items()} == {"one": 1, "two": 3}
    assert all((node.num_cpus, node.resources) == (0, {"io": 1.0}) for node in found.values())
    assert found["two"].whole_resources == {"io": 6.0}
    assert found["two"].whole_cpus == 0


@given(
    cpus=st.floats(min_value=0, max_value=256).map(lambda count: round(count, 4)),
    io=st.integers(min_value=0, max_value=20),
    per_node=st.integers(min_value=1, max_value=50),
)
def test_what_the_slots_ask_for_fits_the_node(cpus: float, io: int, per_node: int) -> None:
    for node in _chosen(entry("one", cpus=cpus, io=io), per_node=per_node).values():
        assert 1 <= node.slots <= per_node
        assert node.slots * round(node.num_cpus * 10_000) <= round(cpus * 10_000)
        assert node.num_cpus <= 1
        assert node.num_cpus > 0 or node.resources
        assert all(node.slots * count <= io for count in node.resources.values())
        # A task that wants the whole node waits as long as one attempt runs there.
        assert node.whole_cpus == (0 if io else cpus)


def test_a_node_is_called_by_its_name_or_by_address_and_id() -> None:
    assert list(_chosen(entry("one", cpus=1))) == ["one"]
    nameless = entry("10.0.0.7", cpus=1, address="10.0.0.7") | {"NodeID": "abcdef0123456789"}
    assert list(_chosen(nameless)) == ["10.0.0.7/abcdef01"]


def _require(*entries: dict[str, object], per_node: int = 2, transforms: bool = False) -> None:
    options = ClusterOptions(per_node=per_node)
    require_feasible(choose_nodes(list(entries), options), options, transforms=transforms)


def test_a_cluster_without_cpus_is_refused() -> None:
    with pytest.raises(UsageError, match="no node of the cluster takes tasks: each has 0 CPUs") as caught:
        _require(entry("head"))
    assert "--num-cpus" in caught.value.hint


def test_too_little_memory_for_the_slots_is_refused_with_what_fits() -> None:
    each = attempt_memory_bytes(ClusterOptions(), transforms=False)
    small = entry("one", cpus=4, memory=int(each * 2.5))
    _require(small, per_node=2)
    with pytest.raises(UsageError) as caught:
        _require(small, per_node=3)
    assert caught.value.message == (
        f"node one: 3 attempts at once need {3 * each:,} bytes of memory, "
        f"Ray may use {int(each * 2.5):,} there"
    )
    assert "--per-node 2" in caught.value.hint


def test_transforms_need_more_memory() -> None:
    plain, torch = (attempt_memory_bytes(ClusterOptions(), transforms=yes) for yes in (False, True))
    middle = entry("one", cpus=4, memory=(plain + torch) // 2)
    _require(middle, per_node=1)
    with pytest.raises(UsageError, match="node one: 1 attempt") as caught:
        _require(middle, per_node=1, transforms=True)
    assert "--per-node" not in caught.value.hint
    assert "leave it out" in caught.value.hint


def test_a_node_that_tells_no_memory_is_taken() -> None:
    _require(entry("one", cpus=64), per_node=64, transforms=True)


def test_a_node_that_joins_too_small_is_left_out_before_it_is_asked(tmp_path: Path) -> None:
    each = attempt_memory_bytes(ClusterOptions(), transforms=False)
    late = choose_nodes([entry("late", cpus=4, memory=each)], ClusterOptions(per_node=2))
    wanted = expected(tmp_path / "out", (), (), transforms=False, needed=0)
    wrong = check_joined(late, wanted=wanted, options=ClusterOptions(per_node=2), transforms=False)
    assert [error.message.partition(":")[0] for error in wrong.values()] == ["node late"]
    assert not (tmp_path / "out").exists()
