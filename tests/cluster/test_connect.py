"""Addresses that can't be joined: refused within seconds, and in words."""

import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

import ray
from ray._common.usage import usage_constants
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
from ray._raylet import GcsClient

from distexpand.cluster.connect import connected
from distexpand.errors import DistexpandError, UsageError
from tests.support import free_ports
from tests.support.ray_cluster import RayCluster, started_cluster


def _refused(address: str) -> DistexpandError:
    with pytest.raises(DistexpandError) as caught, connected(address, ship=False):
        pass
    assert not ray.is_initialized()
    assert "\n" not in caught.value.message
    return caught.value


def test_ray_client_is_refused_with_the_reason() -> None:
    error = _refused("ray://head:10001")
    assert type(error) is UsageError
    assert "Ray Client isn't supported: the driver would stay on this machine" in error.message
    assert "--address http://HEAD:8265" in error.hint


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "http://head:8265", "head:63x", "head:1/2"]
)
def test_what_is_no_address_is_told_what_one_is(address: str) -> None:
    error = _refused(address)
    assert type(error) is UsageError
    assert "expected local, auto, or HOST:PORT of a head" in error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "nobody.invalid"])
def test_where_nobody_is_it_ends_within_seconds(host: str) -> None:
    began = time.monotonic()
    error = _refused(f"{host}:{free_ports.find()}")
    assert type(error) is UsageError
    assert "nobody answers there" in error.message
    assert time.monotonic() - began < 20


def test_a_port_that_can_t_be_is_refused() -> None:
    assert "nobody answers there" in _refused("127.0.0.1:123456").message


@pytest.mark.slow  # another test's cluster on this machine would be found
def test_auto_outside_a_cluster_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    error = _refused("auto")
    assert type(error) is UsageError
    assert error.message.startswith("no Ray cluster at auto: ")
    assert "--address local" in error.hint


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with started_cluster() as cluster:
        yield cluster


def _claim(cluster: RayCluster, **changes: str) -> dict[str, str]:
    """Make the cluster say that it was started with other versions; return what it said before."""
    client = GcsClient(address=cluster.address)
    key, namespace = usage_constants.CLUSTER_METADATA_KEY, KV_NAMESPACE_CLUSTER
    said: dict[str, str] = json.loads(client.internal_kv_get(key, namespace))
    client.internal_kv_put(key, json.dumps(said | changes).encode(), True, namespace)
    return said


@pytest.mark.parametrize(("what", "name"), [("ray_version", "Ray"), ("python_version", "Python")])
def test_a_cluster_of_another_version_is_told_apart(cluster: RayCluster, what: str, name: str) -> None:
    before = _claim(cluster, **{what: "3.0.1"})
    try:
        error = _refused(cluster.address)
        assert type(error) is UsageError
        assert f"the Ray cluster at {cluster.address} runs Ray " in error.message
        assert f"{name} 3.0.1" in error.message
        assert f"this driver Ray {ray.__version__} with Python " in error.message
        assert "distexpand submit" in error.hint
    finally:
        _claim(cluster, **before)


def test_ray_itself_keeps_nodes_of_another_version_out(cluster: RayCluster) -> None:
    before = _claim(cluster, ray_version="1.0.0")
    try:
        with pytest.raises(RuntimeError, match="Version mismatch"):
            cluster.add_node("other")
    finally:
        _claim(cluster, **before)
    assert list(cluster.alive().values()) == ["head"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "web server"])
def test_something_else_at_the_port_is_noticed_within_seconds(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        answering = pool.submit(lambda: server.accept()[0])
        began = time.monotonic()
        if answer:
            pool.submit(lambda: answering.result().sendall(answer))
        error = _refused(f"127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - began < 20
        answering.result().close()
    assert type(error) is UsageError
    assert "what answers there isn't the head of a Ray cluster" in error.message


def test_the_connection_ends_with_the_block(cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.driver_environment.items():
        if name.startswith("RAY_"):
            monkeypatch.setenv(name, value)
    with connected(cluster.address, ship=False):
        assert ray.is_initialized()
        assert len(ray.nodes()) == 1
    assert not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
