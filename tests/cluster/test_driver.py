"""Plans on a real cluster of two nodes: the bytes of a local run, limits, resumed, stopped, left alone."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

from distexpand.api import plan_expansion, run_plan
from distexpand.cluster.events import Progressed, RunBegan, ShardDone
from tests.api.small import BLOCKS, COPIES, SCALED, digests, identities, small_model, tree
from tests.cluster.driver_process import Driver, started_driver
from tests.cluster.watching import LONG, WIDE, AttemptsSeen, Job
from tests.support.ray_cluster import ROOT, RayCluster, started_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with started_cluster() as cluster:
        cluster.add_node("one", cpus=2)
        cluster.add_node("two", cpus=2)
        yield cluster


@pytest.fixture(scope="module")
def driver(cluster: RayCluster) -> Iterator[Driver]:
    environment = {**cluster.driver_environment, "PYTHONPATH": str(ROOT)}
    with started_driver(cluster.address, environment) as driver:
        yield driver


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small") / "a")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("wide") / "a", **WIDE)


@pytest.fixture(scope="module")
def long_run(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the digests of a local run of the long recipe."""
    output = tmp_path_factory.mktemp("local") / "out"
    _run_here(LONG, wide, output, shard_size=3_000_000)
    return digests(output)


def _run_here(recipe: str, model: Path, output: Path, *, shard_size: int = 5000) -> None:
    planned = plan_expansion(recipe, origin="recipe.yml", places={"a": str(model)}, shard_size=shard_size)
    run_plan(planned.plan, output)


@pytest.mark.parametrize("recipe", [COPIES, BLOCKS])
def test_the_bytes_are_those_of_a_local_run(driver: Driver, model: Path, tmp_path: Path, recipe: str) -> None:
    driver.begin(model, tmp_path / "out", recipe=recipe)
    events = list(driver.events())
    _run_here(recipe, model, tmp_path / "local")
    assert tree(tmp_path / "out") == tree(tmp_path / "local")
    [began] = [event for event in events if isinstance(event, RunBegan)]
    done = [event for event in events if isinstance(event, ShardDone)]
    assert len({event.shard for event in done}) == len(done) == began.shards
    assert sum(event.size for event in done) == began.total_bytes
    assert {event.node for event in done} <= {"one", "two"}


def test_scaled_weights_are_those_of_a_local_run(driver: Driver, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch: pip install 'distexpand[torch]'")
    assert driver.run(model, tmp_path / "out", recipe=SCALED, per_node=1).message == ""
    _run_here(SCALED, model, tmp_path / "local")
    assert tree(tmp_path / "out") == tree(tmp_path / "local")


def test_a_finished_output_is_left_alone(driver: Driver, model: Path, tmp_path: Path) -> None:
    assert driver.run(model, tmp_path / "out").made
    before = {path: path.stat() for path in sorted(tmp_path.rglob("*"))}
    again = driver.run(model, tmp_path / "out", mode="resume")
    assert (again.exit_code, again.made) == (0, False)
    after = {path: path.stat() for path in sorted(tmp_path.rglob("*"))}
    assert list(after) == list(before)
    assert all(after[path].st_mtime_ns == before[path].st_mtime_ns for path in before)


def test_an_output_of_something_else_is_refused(driver: Driver, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    end = driver.run(model, tmp_path / "out")
    assert end.exit_code == 2
    assert "notes.txt" in end.message
    assert tree(tmp_path / "out") == {"notes.txt": b"mine"}


def test_limits_are_kept(driver: Driver, wide: Path, tmp_path: Path, long_run: dict[str, str]) -> None:
    order = {"recipe": LONG, "shard_size": 3_000_000}
    with AttemptsSeen(tmp_path / "window") as seen:
        assert driver.run(wide, tmp_path / "window", max_in_flight=1, **order).exit_code == 0
    assert seen.most == 1
    assert digests(tmp_path / "window") == long_run

    with AttemptsSeen(tmp_path / "nodes") as seen:
        driver.begin(wide, tmp_path / "nodes", per_node=1, **order)
        events = list(driver.events())
    assert seen.most == 2
    assert digests(tmp_path / "nodes") == long_run
    shares = Counter(event.node for event in events if isinstance(event, ShardDone))
    assert len(shares) == 2
    for event in events:
        if isinstance(event, Progressed):
            assert len({worker.node for worker in event.workers}) == len(event.workers) <= 2


def test_a_stopped_run_keeps_its_shards_and_goes_on(
    cluster: RayCluster, wide: Path, tmp_path: Path, long_run: dict[str, str]
) -> None:
    output = tmp_path / "out"
    stopped = Job(cluster, wide, output, tmp_path / "stopped.log", per_node=1, threads=1)
    stopped.until_shards(3)
    stopped.process.send_signal(signal.SIGTERM)
    end = stopped.ended()
    assert (end.exit_code, end.kind) == (130, "InterruptedRunError")
    kept = identities(output)
    assert 3 <= len(kept) < len([name for name in long_run if name.endswith(".safetensors")])
    assert {event.shard for event in stopped.done} == kept.keys()
    _only_whole(output, long_run)

    resumed = Job(cluster, wide, output, tmp_path / "resumed.log")
    assert resumed.ended().message == ""
    assert not {event.shard for event in resumed.done} & kept.keys()
    assert identities(output).items() >= kept.items()
    assert digests(output) == long_run


def _only_whole(output: Path, expected: dict[str, str]) -> None:
    found = {name: digest for name, digest in digests(output).items() if name.endswith(".safetensors")}
    assert found.items() <= expected.items()
