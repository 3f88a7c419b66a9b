"""Submitting to a real cluster: the local bytes, one job for one work, errors where they are found."""

import time
from pathlib import Path

import pytest

from tests.api.small import small_model, tree
from tests.jobs.clients import Client, ended, interrupted

WIDE = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_layers": 8}
LONG = "{model: a, repeat: {layer_range: [0, 8], times: 40}}"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 36 MB, of which a recipe makes 1 GB."""
    return small_model(tmp_path_factory.mktemp("models") / "a", shard_size=10**9, **WIDE)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "long.yml"
    path.write_text(LONG)
    return path


def small(recipe: Path, output: Path, model: Path) -> tuple[object, ...]:
    return ("submit", recipe, output, "--model", f"a={model}", "--shard-size", "5000B")


def large(recipe: Path, output: Path, model: Path) -> tuple[object, ...]:
    limits = ("--per-node", "1", "--threads", "1")
    return ("submit", recipe, output, "--model", f"a={model}", "--shard-size", "10MB", *limits)


def test_the_bytes_are_those_of_a_local_run(
    client: Client, recipe: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    done = client(*small(recipe, output, model))
    assert done.code == 0, done.err
    assert "100%" in done.err
    assert "of 6 shards" in done.err
    assert "finished by distexpand-" in done.err
    assert done.out == ""
    assert tree(output) == expected

    commented = tmp_path / "other-name.yml"
    commented.write_text(f"# the same\n\n{recipe.read_text()}")
    again = client(*small(commented, output, model), "--json")
    assert again.code == 0, again.err
    assert again.err == ""
    assert (again.document["over"], again.document["made"]) == (True, False)
    assert [job["job"].rpartition("-")[2] for job in client.jobs_for(output)] == ["1", "2"]
    assert len({job["job"].rpartition("-")[0] for job in client.jobs_for(output)}) == 1
    assert tree(output) == expected


def test_two_clients_at_once_are_one_job(
    client: Client, recipe: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    racers = [client.start(*small(recipe, output, model)) for _ in range(3)]
    said = [ended(racer) for racer in racers]
    assert [one.code for one in said] == [0, 0, 0], said
    assert sum("submitted as" in one.err for one in said) == 1, said
    assert sum("already running as" in one.err for one in said) == 2, said
    assert len(client.jobs_for(output)) == 1
    assert tree(output) == expected


def test_leave_come_back_stop_and_resume(client: Client, long: Path, wide: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    left = client(*large(long, output, wide), "--detach", "--json")
    assert left.code == 0, left.err
    job = left.document["job"]
    assert (left.document["over"], left.document["status"]) == (False, "RUNNING")

    joined = interrupted(client.start(*large(long, output, wide)), once="making")
    assert joined.code == 130, joined.err
    assert f"already running as {job}" in joined.err
    assert f"no longer following; job {job} goes on" in joined.err
    assert f"distexpand jobs logs {job} --follow --address {client.cluster.dashboard_url}" in joined.err

    other = tmp_path / "other.yml"
    other.write_text(LONG.replace("40", "39"))
    refused = client(*large(other, output, wide))
    assert refused.code == 1
    assert f"job {job} is making this output" in refused.err

    assert client("jobs", "status", job, "--json").document["over"] is False
    stopped = client("jobs", "stop", job, "--json")
    assert stopped.code == 0, stopped.err
    assert (stopped.document["status"], stopped.document["was_over"]) == ("STOPPED", False)
    assert client("jobs", "logs", job, "--follow").code == 130
    assert "was over already" in client("jobs", "stop", job).err
    done = {path.name: path.stat().st_ino for path in output.glob("*.safetensors")}
    assert not (output / "distexpand.json").exists()

    resumed = client("jobs", "resume", job, seconds=300)
    assert resumed.code == 0, resumed.err
    assert job[:-1] + "2" in resumed.err
    assert (output / "distexpand.json").exists()
    kept = {path.name: path.stat().st_ino for path in output.glob("*.safetensors")}
    assert {name: kept[name] for name in done} == done


def test_what_the_client_can_know_is_refused_before_a_job_is_made(
    client: Client, recipe: Path, model: Path, tmp_path: Path
) -> None:
    recipe.write_text("{model: a, layer_mop: [[0, 4]]}")
    refused = client(*small(recipe, tmp_path / "out", model))
    assert refused.code == 2
    assert "layer_mop" in refused.err
    assert client.jobs_for(tmp_path / "out") == []


def test_what_only_the_cluster_can_know_is_its_driver_s_error(
    client: Client, recipe: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    began = time.monotonic()
    failed = client(*small(recipe, output, tmp_path / "nowhere"), "--detach", "--json")
    assert failed.code == 2
    error = failed.document["error"]
    assert error["kind"] == "UsageError"
    assert f"{tmp_path / 'nowhere'}: no such directory, given for the model a" in error["message"]
    assert time.monotonic() - began < 60
    [job] = client.jobs_for(output)
    assert "no such directory" in job["message"]
    assert not output.exists()

    followed = client("jobs", "logs", job["job"], "--follow")
    assert followed.code == 2
    assert "no such directory" in followed.err
    listed = client("jobs", "list")
    assert job["job"] in listed.out
    assert client("jobs", "status", job["job"], "--json").document["status"] == "FAILED"


def test_jobs_that_nobody_knows(client: Client) -> None:
    for name, *command in (
        ("distexpand-0123456789abcdef-1", "logs", "--follow"),
        ("distexpand-0123456789abcdef-1", "stop"),
        ("nonsense", "status"),
    ):
        unknown = client("jobs", command[0], name, *command[1:])
        assert unknown.code == 2
        assert name in unknown.err
        assert "distexpand jobs list" in unknown.err
