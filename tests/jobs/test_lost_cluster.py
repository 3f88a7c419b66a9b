"""The head vanishes while a client follows: a clear end in bounded time, and the same again goes on."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.api.small import small_model
from tests.jobs.clients import Client, activated, ended
from tests.support.ray_cluster import started_cluster, wait_until

pytestmark = pytest.mark.slow

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
FOLLOW = """
import sys
from distexpand.errors import DistexpandError
from distexpand.jobs.connection import connect
from distexpand.jobs.follow import follow
from distexpand.report.watching.cluster_progress import NoClusterProgress
try:
    follow(connect(sys.argv[1]), sys.argv[2], NoClusterProgress(), patience=8)
except DistexpandError as error:
    print(type(error).__name__, error.message, error.hint)
"""


def test_a_head_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    model = small_model(tmp_path / "models" / "a", shard_size=10**9, **WIDE)
    recipe, output = tmp_path / "recipe.yml", tmp_path / "out"
    recipe.write_text("{model: a, repeat: {layer_range: [0, 8], times: 40}}")
    limits = ("--per-node", "1", "--threads", "1", "--shard-size", "10MB")
    submit = ("submit", recipe, output, "--model", f"a={model}", *limits)
    with started_cluster(dashboard=True, environment=activated()) as cluster:
        cluster.add_node("one", cpus=2)
        client = Client(cluster)
        job = client(*submit, "--detach", "--json").document["job"]
        follower = subprocess.Popen(
            [sys.executable, "-c", FOLLOW, cluster.dashboard_url, job],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=client.environment,
        )
        wait_until(lambda: len(list(output.glob("*.safetensors"))) > 3, seconds=60, what="a few shards")
        time.sleep(2)
        cluster.kill_host(cluster.nodes["one"])
        cluster.kill_host(cluster.head)
        lost = time.monotonic()
        said = ended(follower, seconds=90)
        assert time.monotonic() - lost < 60
        assert "ClusterAwayError" in said.out, said
        # The head's processes end one by one: the job may be seen to fail before nobody answers.
        assert "hasn't answered for 8 s" in said.out or "went away before" in said.out
        assert "Submit the same again" in said.out
        assert client("jobs", "list").code == 1
        done = {path.name: path.stat().st_ino for path in output.glob("*.safetensors")}

        cluster.start_head()
        cluster.add_node("one", cpus=2)
        unknown = client("jobs", "status", job)
        assert (unknown.code, job in unknown.err) == (2, True)
        again = client(*submit, "--verbose", seconds=400)
        assert again.code == 0, again.err
        assert "going on with" in again.err
        kept = {path.name: path.stat().st_ino for path in output.glob("*.safetensors")}
        assert {name: kept[name] for name in done} == done
