"""Preflight on a real cluster: each mistake is found and explained, and nothing was begun."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'distexpand[ray]'")

import distexpand
from tests.api.small import SCALED, small_model, tree
from tests.cluster.driver_process import Driver, started_driver
from tests.cluster.hosts_of_their_own import mounting, ray_in_a_namespace, require_mounts
from tests.support import ray_cluster
from tests.support.ray_cluster import RayCluster, started_cluster, wait_until
from tests.support.ray_node import Node

_SECONDS = 60.0
"""A bound for one preflight here, where machines are small and busy; about 1 s on an idle one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A cluster with a sound node `good`, a node `odd` that sees other files, and a driver."""

    cluster: RayCluster
    driver: Driver
    root: Path

    def path(self, name: str) -> Path:
        return self.root / name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start the cluster; `odd` sees a folder of its own, a read-only one, no models or other ones."""
    require_mounts()
    root = tmp_path_factory.mktemp("site")
    for name in ("models", "hidden", "swapped"):
        small_model(root / name / "a", seed=1)
    small_model(root / "others" / "a", seed=2)
    small_model(root / "hung" / "a", seed=1)
    shutil.copytree(root / "hung", root / "pipes")
    for path in (root / "pipes" / "a").glob("*.safetensors"):
        path.unlink()
        os.mkfifo(path)
    for name in ("local", "readonly", "shared"):
        (root / name).mkdir()
    mounts = [
        f"mount -t tmpfs none {root}/local",
        f"mount -t tmpfs none {root}/hidden",
        f"mount --bind {root}/others/a {root}/swapped/a",
        f"mount --bind {root}/pipes/a {root}/hung/a",
        f"mount --bind {root}/readonly {root}/readonly && mount -o remount,bind,ro {root}/readonly",
    ]
    with started_cluster(ray=ray_in_a_namespace(root)) as cluster:
        cluster.add_node("good")
        cluster.add_node("odd", environment=mounting(*mounts))
        with started_driver(cluster.address, cluster.driver_environment) as driver:
            yield Site(cluster=cluster, driver=driver, root=root)


def _refused(site: Site, kind: str, *, output: Path, model: str = "models", **order: object) -> str:
    """Check that a run is refused in time with all as before; return the message."""
    before = _state(output.parent)
    end = site.driver.run(site.path(model) / "a", output, **{"only": ["good", "odd"], **order})
    assert end.kind == kind, end
    assert end.hint
    assert end.seconds < _SECONDS
    assert _state(output.parent) == before
    assert "Traceback" not in end.message
    return end.message


def _state(folder: Path) -> dict[str, str]:
    """Return all that is below a folder: files with digest and time, and empty folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        found[str(path)] = (
            f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
            if path.is_file()
            else "folder"
        )
    return found


def _add_node(site: Site, name: str, environment: Mapping[str, str]) -> Node:
    """Add a node and wait until drivers see it."""
    node = site.cluster.add_node(name, environment=environment)
    wait_until(lambda: node.node_id in site.cluster.alive(), seconds=30, what="the node")
    return node


def test_a_sound_cluster_passes_in_seconds_and_makes_the_same_bytes(site: Site) -> None:
    outputs = [site.path("shared") / name for name in ("alone", "both")]
    site.driver.run(site.path("models") / "a", outputs[0], only=["good"])
    site.driver.begin(site.path("models") / "a", outputs[1])
    *events, end = site.driver.events()
    assert end.exit_code == 0
    assert [e.message for e in events if type(e).__name__ == "Noted"] == [
        "2 nodes checked: output, sources, versions, space"
    ]
    assert tree(outputs[0]) == tree(outputs[1])
    assert not (outputs[1] / ".distexpand").exists()
    for output in outputs:
        shutil.rmtree(output)


@pytest.mark.parametrize("mode", ["fresh", "overwrite", "resume"])
def test_an_output_that_each_node_has_for_itself(site: Site, mode: str) -> None:
    output = site.path("local") / "deep" / "out"
    if mode == "overwrite":
        assert site.driver.run(site.path("models") / "a", output, only=["good"]).exit_code == 0
    message = _refused(site, "UsageError", output=output, mode=mode)
    assert message == (
        f"node odd doesn't see the output {output} that the driver sees: No such file or directory"
    )
    shutil.rmtree(output.parent, ignore_errors=True)


def test_an_output_that_a_node_may_only_read(site: Site) -> None:
    output = site.path("readonly") / "out"
    message = _refused(site, "StorageError", output=output)
    assert message == f"node odd sees the output {output} but can't write there: Read-only file system"


def test_a_source_that_a_node_hasn_t_got(site: Site) -> None:
    message = _refused(site, "StorageError", output=site.path("shared") / "out", model="hidden")
    assert message.startswith(f"node odd, model a: {site.root}/hidden/a/")
    assert "can't open: No such file or directory (" in message
    assert "source files)" in message


def test_other_weights_under_the_same_path_and_header(site: Site) -> None:
    message = _refused(site, "StorageError", output=site.path("shared") / "out", model="swapped")
    assert message.startswith(f"node odd: {site.root}/swapped/a/")
    assert message.endswith("holds other weights than the driver's")


def test_an_earlier_output_is_left_alone_when_a_source_is_missing(site: Site) -> None:
    output = site.path("shared") / "earlier"
    assert site.driver.run(site.path("models") / "a", output, only=["good"]).exit_code == 0
    _refused(site, "StorageError", output=output, model="hidden", mode="overwrite")
    shutil.rmtree(output)


def test_a_disk_that_is_too_small(site: Site) -> None:
    """All nodes see the same small disk, but for the driver's check, which is left out."""
    message = _refused(site, "StorageError", output=site.path("shared") / "out", short_of=10**15)
    assert message.startswith("node ")
    assert "the output needs 1,000,000,000,000,000 bytes" in message
    assert "are free there (2 of 2 nodes have such a problem)" in message


def test_too_little_memory_and_no_nodes(site: Site) -> None:
    output = site.path("shared") / "out"
    message = _refused(site, "UsageError", output=output, per_node=100_000)
    assert "100000 attempts at once need" in message
    message = _refused(site, "UsageError", output=output, only=["nobody"])
    assert message.startswith("no node of the cluster takes tasks: each has 0 CPUs")


def test_a_source_whose_mount_hangs_is_given_up_after_a_bounded_time(site: Site) -> None:
    """A named pipe that nobody writes to hangs whoever opens it."""
    message = _refused(
        site, "StorageError", output=site.path("shared") / "out", model="hung", answer_seconds=20
    )
    assert message == "node odd didn't answer within 20 s"


def test_a_node_that_dies_while_it_is_asked_is_done_without(site: Site) -> None:
    output = site.path("shared") / "out"
    frozen = _add_node(site, "frozen", {})
    frozen.freeze()
    try:
        end = site.driver.run(site.path("models") / "a", output, only=["good", "frozen"], answer_seconds=20)
    finally:
        site.cluster.kill_host(frozen)
    assert end.exit_code == 0, end
    assert end.seconds < _SECONDS
    shutil.rmtree(output)


def test_a_node_without_our_package(site: Site) -> None:
    hiding = ray_cluster._hiding({}, ["distexpand"])
    _add_node(site, "bare", hiding)
    message = _refused(site, "StorageError", output=site.path("shared") / "out", only=["good", "bare"])
    assert message.startswith("node bare can't run our code: ")
    assert "No module named 'distexpand'" in message


def test_another_version_of_our_package(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "distexpand"
    shutil.copytree(Path(distexpand.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "newer.py").write_text('"""A module that only this node has."""\n')
    _add_node(site, "skewed", {"PYTHONPATH": str(tmp_path)})
    message = _refused(site, "UsageError", output=site.path("shared") / "out", only=["good", "skewed"])
    assert message.startswith("node skewed runs distexpand ")
    assert ", the driver " in message


def test_another_torch_matters_where_tensors_are_transformed(site: Site, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    place = tmp_path / "torch-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    _add_node(site, "old", {"PYTHONPATH": str(tmp_path)})
    output = site.path("shared") / "out"
    message = _refused(site, "UsageError", output=output, only=["old"], recipe=SCALED, per_node=1)
    assert message.startswith("node old runs torch 1.0, the driver ")
    assert site.driver.run(site.path("models") / "a", output, only=["old"]).exit_code == 0
    shutil.rmtree(output)
