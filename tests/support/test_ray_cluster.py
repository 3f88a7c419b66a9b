"""The clusters that other tests break: nodes are apart, can be killed, and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from tests.support import host_processes
from tests.support.ray_cluster import RayCluster, started_cluster, wait_until

_TASKS = """
import json, os, sys, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as Affinity

def look():
    try:
        import distexpand
        found = distexpand.__file__
    except ModuleNotFoundError:
        found = None
    return {"parent": os.getppid(), "flavour": os.environ.get("FLAVOUR"), "package": found}

address, *nodes = sys.argv[1:]
ray.init(address, log_to_driver=False, logging_level="ERROR")
task = ray.remote(look)
seen = [task.options(scheduling_strategy=Affinity(node, soft=False)).remote() for node in nodes]
print(json.dumps(ray.get(seen)))
"""


def _look(cluster: RayCluster, *names: str) -> list[dict[str, object]]:
    nodes = [cluster.nodes[name].node_id for name in names]
    command = [sys.executable, "-c", _TASKS, cluster.address, *nodes]
    done = subprocess.run(
        command, env=cluster.driver_environment, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_nodes_run_tasks_and_die_apart() -> None:
    with started_cluster(hidden=["distexpand"]) as cluster:
        one = cluster.add_node("one", resources={"io": 2}, environment={"FLAVOUR": "mint"})
        two = cluster.add_node("two")
        seen = _look(cluster, "one", "two")
        assert [found["parent"] for found in seen] == [one.raylet_pid, two.raylet_pid]
        assert [found["flavour"] for found in seen] == ["mint", None]
        assert [found["package"] for found in seen] == [None, None]
        assert sorted(cluster.alive().values()) == ["head", "one", "two"]

        one.kill_raylet()
        cluster.wait_for_death(one)
        assert sorted(cluster.alive().values()) == ["head", "two"]
        cluster.kill_host(one)
        assert not one.processes()
        assert two.processes()
    assert not host_processes.processes(sessions=(), mark=cluster.mark)
    assert not cluster.directory.exists()


def test_nothing_outlives_a_killed_test() -> None:
    script = (
        "import sys, time\n"
        "from tests.support.ray_cluster import started_cluster\n"
        "with started_cluster() as cluster:\n"
        "    print(cluster.mark, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        mark = test.stdout.readline().strip()
        assert host_processes.processes(sessions=(), mark=mark)
        os.kill(test.pid, signal.SIGKILL)
    wait_until(
        lambda: not host_processes.processes(sessions=(), mark=mark), seconds=20, what="all to be gone"
    )
