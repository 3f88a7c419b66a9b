"""`distexpand.submit` on a real cluster, also from where an event loop runs, as in a notebook."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexpand
from tests.api.small import BLOCKS, small_model, tree
from tests.jobs.clients import Client

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
LONG = {"model": "a", "repeat": {"layer_range": [0, 8], "times": 40}}


@pytest.fixture
def address(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the cluster's address; this process becomes its client."""
    for name, value in client.environment.items():
        if os.environ.get(name) != value and name.startswith("RAY_"):
            monkeypatch.setenv(name, value)
    yield client.environment["RAY_API_SERVER_ADDRESS"]


def test_a_job_makes_the_bytes_of_a_local_run(
    address: str, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    told: list[distexpand.Progress] = []

    async def notebook() -> distexpand.JobResult:
        job = distexpand.submit(BLOCKS, str(output), address=address, models={"a": model}, shard_size=5000)
        return job.wait(progress=told.append)

    result = asyncio.run(notebook())
    assert tree(output) == expected
    assert result.made
    assert (told[-1].share, told[-1].shards_done) == (1, told[-1].shards)
    job = distexpand.find_job(result.id)
    assert (job.address, job.output) == (address, str(output))
    status = job.status()
    assert (status.status, status.over, status.exit_code) == ("SUCCEEDED", True, 0)
    assert '"event":"ended"' in job.logs()
    again = distexpand.submit(BLOCKS, str(output), models={"a": str(model)}, shard_size="5000B")
    assert not again.wait().made


def test_a_job_is_stopped_and_waiting_for_it_says_so(address: str, tmp_path: Path) -> None:
    wide = small_model(tmp_path / "a", shard_size=10**9, **WIDE)
    output = str(tmp_path / "out")
    job = distexpand.submit(
        LONG, output, address=address, models={"a": wide}, shard_size="10MB", per_node=1, threads=1
    )
    assert not job.status().over
    assert job.stop().status == "STOPPED"
    with pytest.raises(distexpand.InterruptedRunError, match="was stopped"):
        job.wait()


def test_what_fails_on_the_cluster_is_raised_here(address: str, model: Path, tmp_path: Path) -> None:
    beyond = {"model": "a", "layer_map": [[0, 99]]}
    with pytest.raises(distexpand.RecipeError, match="99"):
        distexpand.submit(beyond, str(tmp_path / "out"), address=address, models={"a": model}).wait()


def test_a_kept_plan_and_an_unknown_job_are_refused(address: str, model: Path, tmp_path: Path) -> None:
    distexpand.save_plan(distexpand.plan(BLOCKS, models={"a": model}), tmp_path / "kept.plan")
    with pytest.raises(distexpand.UsageError, match="a saved plan can't be submitted"):
        distexpand.submit(tmp_path / "kept.plan", str(tmp_path / "out"), address=address)
    with pytest.raises(distexpand.DistexpandError, match="no such job|doesn't know|knows no"):
        distexpand.find_job("distexpand-0000000000000000-1", address=address)
