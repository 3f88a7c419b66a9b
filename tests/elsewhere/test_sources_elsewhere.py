"""Sources in buckets and on web servers give the bytes that the same sources give from a disk."""

from pathlib import Path

import pytest

from distexpand.api import plan_expansion, run_plan, verify_output
from tests.elsewhere.places import files_of, put_in_bucket
from tests.support.range_server import range_server
from tests.support.seaweedfs import SeaweedFS
from tests.support.tiny import tiny_checkpoint

RECIPE = """
slices:
  - sources: [{model: org/base, layer_range: [0, 3]}]
  - sources: [{model: org/base, layer_range: [1, 4]}]
merge_method: passthrough
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(
        tmp_path_factory.mktemp("sources") / "base", "llama", seed=1, max_shard_size=100_000
    )


@pytest.fixture(scope="module")
def expected(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the output of the run that has its source on a disk."""
    output = tmp_path_factory.mktemp("expected") / "out"
    expand(str(base), output)
    return files_of(output)


def expand(place: str, output: Path) -> None:
    plan = plan_expansion(RECIPE, origin="recipe", places={"org/base": place}, shard_size=200_000).plan
    run_plan(plan, output)


def test_from_a_bucket(seaweedfs: SeaweedFS, bucket: str, base, expected, tmp_path):
    place = put_in_bucket(seaweedfs, bucket, "models/base", files_of(base))
    expand(place, tmp_path / "out")
    assert files_of(tmp_path / "out") == expected
    assert verify_output(tmp_path / "out", sources=True, places={"org/base": place}).ok


def test_from_a_web_server(base, expected, tmp_path):
    with range_server() as server:
        for name, raw in files_of(base).items():
            server.put(f"models/base/{name}", raw)
        expand(f"{server.endpoint}/models/base", tmp_path / "out")
    assert files_of(tmp_path / "out") == expected
