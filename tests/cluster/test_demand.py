"""Nodes asked for: as many as shards could use, seldom, and no longer than the driver lives."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import GetClusterResourceStateReply

from distexpand.cluster.demand import MOST_WAITING, _missing, _usual
from distexpand.cluster.fleet import Fleet
from distexpand.cluster.options import ClusterOptions
from tests.cluster.entries import nodes
from tests.support.ray_cluster import RayCluster, started_cluster, wait_until


def _fleet(*, per_node: int = 2, **cpus: float) -> Fleet:
    found = {node.node_id: node for node in nodes(per_node=per_node, **cpus).values()}
    return Fleet(found, lambda: found, lambda _: {})


def test_nothing_is_asked_for_while_a_slot_is_free() -> None:
    fleet = _fleet(one=4, two=4)
    assert _missing(100, 3, fleet, ClusterOptions(), 2) == 0
    assert _missing(100, 4, fleet, ClusterOptions(), 2) == 50
    assert _missing(0, 4, fleet, ClusterOptions(), 2) == 0


@given(
    waiting=st.integers(0, 5000),
    limit=st.none() | st.integers(1, 500),
    count=st.integers(1, 9),
    per_node=st.integers(1, 8),
)
def test_the_nodes_asked_for_are_those_that_all_attempts_take(
    waiting: int, limit: int | None, count: int, per_node: int
) -> None:
    fleet = _fleet(per_node=per_node, **{f"n{number}": 8 for number in range(count)})
    under_way = fleet.slots()
    missing = _missing(waiting, under_way, fleet, ClusterOptions(max_in_flight=limit), per_node)
    attempts = min(waiting + under_way, limit or waiting + under_way)
    assert 0 <= missing <= MOST_WAITING
    if missing < MOST_WAITING:
        assert (count + missing) * per_node >= attempts
    assert missing == 0 or (count + missing - 1) * per_node < attempts


def test_the_most_frequent_kind_of_node_is_asked_for() -> None:
    usual = _usual(_fleet(head=16, one=4, two=4))
    assert usual is not None
    assert usual.whole_cpus == 4
    assert _usual(_fleet()) is None


_DRIVER = """
import sys, time
from distexpand.cluster import demand
from distexpand.cluster.connect import connected
from distexpand.cluster.fleet import Fleet
from distexpand.cluster.nodes import usable_nodes
from distexpand.cluster.options import ClusterOptions

demand.ASK_SECONDS = 0.2
options = ClusterOptions(per_node=1)
with connected(sys.argv[1], ship=False):
    import ray
    busy = ray.remote(num_cpus=1)(lambda: time.sleep(600)).remote()
    time.sleep(2)
    nodes = usable_nodes(options)
    asking = demand.Demand(options)
    time.sleep(2 * demand.ASK_SECONDS)
    print("connected", flush=True)
    for line in sys.stdin:
        asking.want(int(line), 1, Fleet(nodes, lambda: nodes, lambda _: {}))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with started_cluster() as cluster:
        cluster.add_node("one", cpus=1)
        yield cluster


def _pending(cluster: RayCluster) -> int:
    """Return how many requests an autoscaler sees."""
    reply = GetClusterResourceStateReply()
    reply.ParseFromString(GcsClient(address=cluster.address).get_cluster_resource_state(timeout_s=10))
    requests = reply.cluster_resource_state.pending_resource_requests
    shapes: Counter[float] = Counter()
    for request in requests:
        shapes[request.request.resources_bundle["CPU"]] += request.count
    assert set(shapes) <= {1.0}
    return shapes.total()


def _say(driver: subprocess.Popen[str], line: str) -> None:
    assert driver.stdin is not None
    driver.stdin.write(f"{line}\n")
    driver.stdin.flush()


def test_what_an_autoscaler_sees_follows_the_shards_and_vanishes_with_the_driver(cluster: RayCluster) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, cluster.address],
        env=cluster.driver_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "connected\n"
            for line, expected in [("2", 2), ("5", 5)]:
                _say(driver, line)
                wait_until(lambda n=expected: _pending(cluster) == n, seconds=60, what=f"{expected} requests")
            driver.kill()
            wait_until(lambda: _pending(cluster) == 0, seconds=60, what="the requests to vanish")
        finally:
            driver.kill()
