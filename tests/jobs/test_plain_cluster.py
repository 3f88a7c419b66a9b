"""A cluster with plain Ray: the package travels, and Ray installs what it needs. Needs a package index."""

import shutil
import subprocess
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.api.small import tree
from tests.jobs.clients import Client, activated
from tests.support.ray_cluster import RayCluster, started_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    directory = tmp_path_factory.mktemp("plain") / "venv"
    venv.create(directory, with_pip=True)
    install = [directory / "bin" / "pip", "--quiet", "install", f"ray[default]=={version('ray')}"]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr[-300:]}")
    with started_cluster(
        dashboard=True, environment=activated(directory / "bin"), ray=directory / "bin" / "ray"
    ) as cluster:
        cluster.add_node("one", cpus=2)
        cluster.add_node("two", cpus=2)
        yield cluster
    shutil.rmtree(directory)


def test_a_cluster_without_the_package_is_given_it(
    plain_cluster: RayCluster, recipe: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    client = Client(plain_cluster)
    output = tmp_path / "out"
    submit = ("submit", recipe, output, "--model", f"a={model}", "--shard-size", "5000B")
    done = client(*submit, "--driver-on-worker", seconds=300)
    assert done.code == 0, done.err
    assert "the cluster's machines lack" in done.err
    assert "xxhash" in done.err
    assert tree(output) == expected
    assert [job["status"] for job in client.jobs_for(output)] == ["FAILED", "SUCCEEDED"]

    other = tmp_path / "other"
    wanted = client(*submit[:2], other, *submit[3:], "--pip", "pyyaml", "--json", seconds=300)
    assert wanted.code == 0, wanted.err
    assert len(client.jobs_for(other)) == 1
    assert tree(other) == expected
