"""What a monitoring system reads of a run, at the node of its driver."""

import re
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from ray._raylet import GcsClient

from tests.api.small import small_model
from tests.cluster.driver_process import started_driver
from tests.support.ray_cluster import RayCluster, started_cluster, wait_until

_SAMPLE = re.compile(r'^(ray_distexpand_\w+)\{.*run="(\w+)".*\} (\S+)$', re.MULTILINE)


def test_the_counters_of_a_run_are_exported(tmp_path: Path) -> None:
    model, output = small_model(tmp_path / "a"), tmp_path / "out"
    with started_cluster() as cluster:
        cluster.add_node("one")
        with started_driver(cluster.address, cluster.driver_environment) as driver:
            driver.begin(model, output, run="nightly")
            *events, end = driver.events()
            assert end.exit_code == 0
            done = [event for event in events if type(event).__name__ == "ShardDone"]
            wait_until(
                lambda: _exported(cluster).get("ray_distexpand_shards_done_total") == len(done),
                seconds=60,
                what="the counters",
            )
            found = _exported(cluster)
    assert found["ray_distexpand_bytes_written_total"] == sum(event.size for event in done)
    assert found["ray_distexpand_shard_seconds_count"] == len(done)
    assert found["ray_distexpand_shard_seconds_bucket"] <= len(done)


def _exported(cluster: RayCluster) -> dict[str, float]:
    """Return the metrics of all nodes; of a histogram's buckets the last."""
    found: dict[str, float] = {}
    for info in GcsClient(address=cluster.address).get_all_node_info(timeout=10).values():
        address = f"http://127.0.0.1:{info.metrics_export_port}/metrics"
        with urllib.request.urlopen(address, timeout=20) as response:
            for name, run, value in _SAMPLE.findall(response.read().decode()):
                assert run == "nightly"
                found[name] = float(value)
    return found
