"""A cluster with the Jobs API, and what is submitted to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from distexpand.api import run_plan
from tests.api.small import BLOCKS, small_model, small_plan, tree
from tests.jobs.clients import SECRETS, Client, activated
from tests.support.ray_cluster import RayCluster, started_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    with started_cluster(dashboard=True, environment=activated() | SECRETS) as cluster:
        cluster.add_node("one", cpus=2, resources={"io": 2})
        yield cluster


@pytest.fixture
def client(cluster: RayCluster) -> Client:
    return Client(cluster)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yml"
    path.write_text(BLOCKS)
    return path


@pytest.fixture(scope="session")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run on this machine makes of the recipe."""
    output = tmp_path_factory.mktemp("expected") / "out"
    run_plan(small_plan(BLOCKS, model, shard_size=5000), output)
    return tree(output)
