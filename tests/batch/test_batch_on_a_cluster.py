"""A batch whose expansions are jobs: the local bytes, one job for one work, stopped and killed starts."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.small import small_model, tree
from tests.batch.batches import Folder, by_name, states, until
from tests.cli.calls import call
from tests.jobs.clients import Client, ended
from tests.support.ray_cluster import started_cluster

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
LONG = "{model: a, repeat: {layer_range: [0, 8], times: 40}}"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    pytest.importorskip("ray")
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with started_cluster(dashboard=True, environment=path) as cluster:
        cluster.add_node("one", cpus=2, resources={"io": 2})
        yield Client(cluster)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "b", outputs=2)


def _batch(client: Client, folder: Folder, *more: str) -> tuple[object, ...]:
    return ("batch", folder.file, "--address", client.cluster.dashboard_url, "--json", *more)


def test_jobs_make_what_a_local_run_makes_once(client: Client, folder: Folder, tmp_path: Path) -> None:
    first = client(*_batch(client, folder))
    assert first.code == 0, first.err
    for entry in first.document["expansions"]:
        assert entry["state"] == "done"
        assert entry["plan"]
        assert entry["runner"]["job"].startswith("distexpand-")
    options = ("--model", f"a={folder.path / 'a'}", "--shard-size", "5kB")
    for name in folder.names:
        assert call("run", folder.path / f"{name}.yml", tmp_path / name, *options).code == 0
        assert tree(folder.path / name) == tree(tmp_path / name)
    again = client(*_batch(client, folder))
    assert again.code == 0, again.err
    assert again.document["expansions"] == first.document["expansions"]
    assert sorted(folder.hooks()) == folder.names


def test_failures_of_jobs_are_reported(client: Client, folder: Folder) -> None:
    (folder.path / "bad.yml").write_text("{model: a, layer_map: [[0, 99]]}")
    folder.write(folder.entry("bad"), folder.entry("out1", after="verify"), retries=2)
    said = client(*_batch(client, folder))
    assert said.code == 1
    found = by_name(said.document)
    assert (found["bad"]["state"], found["out1"]["state"]) == ("failed", "done")
    assert found["bad"]["error"]["kind"] == "RecipeError"
    assert found["bad"]["tries"] == 1


def test_stopped_and_killed_starts(client: Client, folder: Folder) -> None:
    small_model(folder.path / "wide" / "a", shard_size=10**9, **WIDE)
    (folder.path / "out0.yml").write_text(LONG)
    wide = {"models": {"a": "wide/a"}, "shard_size": "10MB"}
    folder.write(folder.entry("out0", **wide))
    output = folder.path / "out0"
    slow = ("--per-node", "1", "--threads", "1")

    killed = client.start(*_batch(client, folder, *slow))
    until(lambda: list(output.glob("*.safetensors")))
    killed.kill()
    killed.communicate()
    assert client("batch", folder.file, "--status", "--json").document["totals"]["interrupted"] == 1
    [job] = client.jobs_for(output)
    assert job["status"] == "RUNNING", "a job outlives a start that was killed"

    stopped = client.start(*_batch(client, folder, *slow))
    assert stopped.stderr is not None
    assert f"already running as {job['job']}" in stopped.stderr.readline()
    stopped.send_signal(signal.SIGTERM)
    said = ended(stopped)
    assert said.code == 130, said.err
    assert states(said.document) == ["interrupted"]
    [job] = client.jobs_for(output)
    assert job["status"] == "STOPPED", "a start that is stopped stops its jobs"

    done = client(*_batch(client, folder))
    assert done.code == 0, done.err
    assert len(client.jobs_for(output)) == 2
    assert folder.hooks() == ["out0"]


def test_a_cluster_that_is_not_there_is_named(folder: Folder, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    result = call("batch", folder.file, "--address", "http://127.0.0.1:9", "--json", cwd=tmp_path)
    assert result.code == 1
    assert "no Ray cluster answers" in result.document["error"]["message"]
    assert call("batch", folder.file, "--per-node", "1", "--json").code == 2
