"""Runs on a cluster that is broken meanwhile: in the end the bytes of a local run, and never half a shard.

The long form, with simulated hosts and at random moments, is `benchmarks/soak.py`.
"""

import contextlib
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from benchmarks.final_names import FinalNames
from distexpand.api import plan_expansion, run_plan
from distexpand.cluster.options import DEFAULT_TRIES
from tests.api.small import digests, identities, small_model
from tests.cli.calls import call
from tests.cluster.watching import LONG, WIDE, Job
from tests.support import host_processes
from tests.support.ray_cluster import RayCluster, started_cluster, wait_until
from tests.support.ray_node import Node

SHARD_SIZE = 3_000_000
TASK = "ray::distexpand:"

_SPARE, _HELD = 2_500_000_000, 4_000_000_000
"""Memory that others may take meanwhile, and that the test takes."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with started_cluster() as cluster:
        cluster.add_node("one", cpus=2)
        cluster.add_node("two", cpus=2)
        yield cluster


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("wide") / "a", **WIDE)


@pytest.fixture(scope="module")
def local(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a local run."""
    output = tmp_path_factory.mktemp("local") / "out"
    planned = plan_expansion(LONG, origin="recipe", places={"a": str(model)}, shard_size=SHARD_SIZE)
    run_plan(planned.plan, output)
    return output


@contextlib.contextmanager
def _watched(output: Path, local: Path) -> Iterator[None]:
    """Look at every final name meanwhile; in the end the output is exactly that of the local run."""
    with FinalNames(output, local, pause_seconds=0.01) as watcher:
        yield
    assert watcher.problems == []
    assert call("clean", output).code == 0
    assert digests(output) == digests(local)
    assert not [*output.glob(".distexpand*")]


def _bury(cluster: RayCluster, node: Node) -> None:
    """Kill a host and wait until the cluster knows, so that the next run isn't held up by it."""
    cluster.kill_host(node)
    cluster.wait_for_death(node)


def _bounded(job: Job) -> bool:
    shards = [event.shard for event in job.lost]
    return all(shards.count(shard) < DEFAULT_TRIES for shard in shards)


def test_worker_raylet_and_host_killed(cluster: RayCluster, model: Path, local: Path, tmp_path: Path) -> None:
    raylet, host = cluster.add_node("raylet", cpus=2), cluster.add_node("host", cpus=2)
    with _watched(tmp_path / "out", local):
        job = Job(cluster, model, tmp_path / "out", tmp_path / "log", threads=1)
        job.until_shards(1)
        wait_until(lambda: cluster.nodes["one"].kill_worker(TASK) is not None, seconds=20, what="a worker")
        raylet.kill_raylet()
        job.until_shards(4)
        cluster.kill_host(host)
        end = job.ended()
    _bury(cluster, raylet)
    assert (end.exit_code, end.message) == (0, "")
    assert _bounded(job)
    assert job.lost
    assert all(event.retry for event in job.lost)
    died = {"its worker process died", "its node died", "its node is gone", "its node's Ray died"}
    assert {event.reason for event in job.lost} <= died


def test_driver_killed_and_submitted_again(
    cluster: RayCluster, model: Path, local: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with _watched(output, local):
        killed = Job(cluster, model, output, tmp_path / "killed.log", per_node=1, threads=1)
        killed.until_shards(3)
        killed.kill()
        kept = identities(output)
        again = Job(cluster, model, output, tmp_path / "again.log")
        assert again.ended().exit_code == 0
    assert len(kept) >= 3
    assert identities(output).items() >= kept.items()
    assert not {event.shard for event in again.done} & kept.keys()


@pytest.mark.slow
def test_control_service_killed_and_head_restarted(model: Path, local: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with started_cluster() as cluster, _watched(output, local):
        node = cluster.add_node("node", cpus=2)
        lost = Job(cluster, model, output, tmp_path / "lost.log", per_node=1, threads=1)
        lost.until_shards(3)
        cluster.head.kill_gcs()
        cluster.kill_host(node)
        cluster.kill_host(cluster.head)
        kept = identities(output)
        cluster.start_head()
        cluster.add_node("node", cpus=2)
        # The driver of before may still be alive, and hold the output until it notices.
        again = Job(cluster, model, output, tmp_path / "again.log")
        assert again.ended().exit_code == 0
        assert identities(output).items() >= kept.items()
        lost.process.wait(60)


def test_disk_full_for_one_node(cluster: RayCluster, model: Path, local: Path, tmp_path: Path) -> None:
    """A limit of the size of files stands for the disk: it can be had without root."""
    full = cluster.add_node("full", cpus=2)
    _limit_files(full, SHARD_SIZE // 2)
    with _watched(tmp_path / "out", local):
        job = Job(cluster, model, tmp_path / "out", tmp_path / "log")
        end = job.ended()
    _bury(cluster, full)
    assert end.exit_code == 0
    assert _bounded(job)
    assert job.lost
    assert all("File too large" in event.reason for event in job.lost)
    assert {event.node for event in job.lost} == {"full"}


def test_a_shard_that_cannot_be_made(cluster: RayCluster, model: Path, local: Path, tmp_path: Path) -> None:
    """The embeddings don't fit under the limit on any node; everything else is made and kept."""
    output = tmp_path / "out"
    nodes = [cluster.nodes[name] for name in ("one", "two")]
    with _watched(output, local):
        for node in nodes:
            _limit_files(node, SHARD_SIZE + 500_000)
        try:
            job = Job(cluster, model, output, tmp_path / "log", tries=2)
            end = job.ended()
        finally:
            for node in nodes:
                _limit_files(node, resource.RLIM_INFINITY)
        assert (end.exit_code, end.kind) == (1, "OutputError")
        assert "2 of " in end.message
        assert "after 2 attempts" in end.message
        assert "File too large" in end.message
        assert "kept" in end.hint
        kept = identities(output)
        assert len(kept) == len([*local.glob("*.safetensors")]) - 2
        assert [event.retry for event in job.lost].count(False) == 2
        assert len(job.lost) == 4

        again = Job(cluster, model, output, tmp_path / "again.log")
        assert again.ended().exit_code == 0
        assert identities(output).items() >= kept.items()


@pytest.mark.slow
def test_slow_node(cluster: RayCluster, model: Path, local: Path, tmp_path: Path) -> None:
    """What its workers have, stopped nearly always, is made elsewhere; what they write later harms nobody."""
    output = tmp_path / "out"
    slow = cluster.add_node("slow", cpus=2)
    with _watched(output, local):
        job = Job(cluster, model, output, tmp_path / "log", threads=1)
        job.until_shards(1)
        wait_until(lambda: slow.worker_pids(TASK) != [], seconds=20, what="a worker on the slow node")
        with _stopped_mostly(slow):
            end = job.ended()
        before = digests(output)
        wait_until(lambda: not slow.worker_pids(TASK), seconds=30, what="the slow node's attempts to end")
        assert digests(output) == before
    _bury(cluster, slow)
    assert end.exit_code == 0
    assert _bounded(job)
    # A worker that doesn't answer for ten seconds is taken for dead.
    assert job.doubled or job.lost
    assert "slow" not in {event.node for event in job.doubled}
    assert {event.node for event in job.lost} <= {"slow"}


@contextlib.contextmanager
def _stopped_mostly(node: Node) -> Iterator[None]:
    """Let a node's workers run for a moment every four seconds."""
    over = threading.Event()

    def stop_and_go() -> None:
        while not over.is_set():
            workers = [process.pid for process in node.processes() if process.parent == node.raylet_pid]
            host_processes.send(workers, signal.SIGSTOP)
            over.wait(4)
            host_processes.send(workers, signal.SIGCONT)
            over.wait(0.02)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_out_of_memory_on_one_node(cluster: RayCluster, model: Path, local: Path, tmp_path: Path) -> None:
    """Ray's own memory monitor ends the workers of one node, whose threshold is lower."""
    total, free = (_memory(name) for name in ("MemTotal", "MemAvailable"))
    if free < _HELD + _SPARE:
        pytest.skip(f"needs {(_HELD + _SPARE) / 1e9:.0f} GB of free memory")
    threshold = (total - free + _SPARE) / total
    limits = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "50"}
    small = cluster.add_node("small", cpus=2, environment=limits)
    with _watched(tmp_path / "out", local):
        job = Job(cluster, model, tmp_path / "out", tmp_path / "log", threads=1)
        job.until_shards(1)
        wait_until(lambda: small.worker_pids(TASK) != [], seconds=20, what="a worker on the small node")
        # Else its last attempt might be over before the memory is.
        host_processes.send(small.worker_pids(), signal.SIGSTOP)
        with _held_memory(_HELD):
            wait_until(lambda: job.lost != [], seconds=30, what="a worker to be ended")
        host_processes.send(small.worker_pids(), signal.SIGCONT)
        end = job.ended()
    _bury(cluster, small)
    assert end.exit_code == 0
    assert _bounded(job)
    assert "out of memory: Ray's memory monitor ended the worker" in {event.reason for event in job.lost}
    assert {event.node for event in job.lost} == {"small"}


@contextlib.contextmanager
def _held_memory(size: int) -> Iterator[None]:
    script = f"held = b'1' * {size}; print(flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            yield
        finally:
            holder.kill()


def _memory(name: str) -> int:
    """Return a figure of the whole machine in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _limit_files(node: Node, size: int) -> None:
    """Let nothing on a node write a larger file."""
    for process in node.processes():
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))
