"""Whole runs on this machine: determinism, interruption, sources that change, holes, space."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import DistexpandError, InterruptedRunError, StorageError, UsageError
from distexpand.report.watching.display import NoProgress
from distexpand.storage.local.directories import WORK_DIRECTORY
from tests.api.small import (
    BLOCKS,
    COPIES,
    SCALED,
    TWO_SOURCES,
    disk_bytes,
    identities,
    small_model,
    small_plan,
    tree,
)
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "a")


class Watching(NoProgress):
    """A progress display that calls back after some bytes."""

    def __init__(self, callback: Callable[[], None], *, after: int) -> None:
        self._callback = callback
        self._left = after
        self.totals: dict[str, int] = {}
        self.shards: list[str] = []
        self.bytes = 0
        self._lock = threading.Lock()

    def start(self, **totals: int) -> None:
        self.totals = totals

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self.bytes += nbytes
            self._left -= nbytes
            if self._left <= 0:
                self._left = 10**15
                self._callback()

    def shard_done(self, name: str) -> None:
        self.shards.append(name)

    def stop(self) -> None:
        self.totals["stopped"] = 1


class StoppingAfterAShard(NoProgress):
    """A progress display that ends a run once a shard is whole.

    By then no more than two groups of shards have begun.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def shard_done(self, name: str) -> None:  # noqa: ARG002
        self._stop.set()


@pytest.mark.parametrize(
    "recipe", [COPIES, BLOCKS, TWO_SOURCES, SCALED], ids=["copy", "blocks", "two", "scaled"]
)
def test_the_same_bytes_for_any_threads_and_after_an_interruption(
    tmp_path: Path, model: Path, recipe: str
) -> None:
    if recipe is SCALED:
        pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    models = [model, *([small_model(tmp_path / "b", seed=2)] if recipe is TWO_SOURCES else [])]
    plan = small_plan(recipe, *models)
    outputs = []
    for threads in (1, 2, 8):
        outputs.append(tmp_path / f"out-{threads}")
        run_plan(plan, outputs[-1], threads=threads)
    stop = threading.Event()
    interrupted = tmp_path / "interrupted"
    with pytest.raises(InterruptedRunError):
        run_plan(plan, interrupted, stop=stop, progress=Watching(stop.set, after=25_000))
    done = identities(interrupted)
    assert NOTICE_NAME in tree(interrupted)
    assert MANIFEST_NAME not in tree(interrupted)
    watching = Watching(lambda: None, after=10**15)
    run_plan(plan, interrupted, mode=OutputMode.RESUME, progress=watching)
    assert {name: identities(interrupted)[name] for name in done} == done
    assert set(watching.shards) == {shard.name for shard in plan.shards} - done.keys()
    assert watching.bytes == watching.totals["total_bytes"] - watching.totals["done_bytes"]
    assert watching.totals["shards_done"] == len(done)
    assert all(tree(output) == tree(outputs[0]) for output in [*outputs, interrupted])
    assert verify_output(interrupted).ok


def test_every_shard_size_gives_the_same_tensors(tmp_path: Path, model: Path) -> None:
    loaded = []
    for size in (700, 5000, 10**9):
        output = tmp_path / f"out-{size}"
        run_plan(small_plan(COPIES, model, shard_size=size), output)
        places = {"a": str(model)}
        assert verify_output(output, sources=True, places=places).ok
        loaded.append(_tensors(output))
    assert loaded[0] == loaded[1] == loaded[2]


def _tensors(output: Path) -> dict[str, bytes]:
    from safetensors.numpy import load  # noqa: PLC0415

    found: dict[str, bytes] = {}
    for path in output.glob("*.safetensors"):
        raw = path.read_bytes()
        # numpy has no bfloat16; bytes are compared, so that any 16-bit dtype will do.
        found |= {name: value.tobytes() for name, value in load(raw.replace(b'"BF16"', b'"I16" ')).items()}
    return found


def test_the_output_is_what_the_safetensors_library_reads(tmp_path: Path, model: Path) -> None:
    run_plan(small_plan(COPIES, model), tmp_path / "out")
    made, source = _tensors(tmp_path / "out"), _tensors(model)
    for index, layer in enumerate([0, 1, 2, 1, 2, 3]):
        prefix = f"model.layers.{index}."
        for name in (name for name in made if name.startswith(prefix)):
            assert made[name] == source[f"model.layers.{layer}.{name.removeprefix(prefix)}"]
    assert len(made) == 3 + 6 * 9


def test_a_final_name_is_never_on_a_partial_file(tmp_path: Path, model: Path) -> None:
    plan = small_plan(BLOCKS, model, shard_size=1500)
    run_plan(plan, tmp_path / "expected")
    expected = tree(tmp_path / "expected")
    output, wrong, seen, ended = tmp_path / "out", [], set(), threading.Event()

    def poll() -> None:
        while not ended.is_set():
            for name, raw in expected.items():
                try:
                    found = (output / name).read_bytes()
                except OSError:
                    continue
                seen.add(name)
                if found != raw or (name == MANIFEST_NAME and not _whole(output, expected)):
                    wrong.append(name)

    poller = threading.Thread(target=poll)
    poller.start()
    progress = Watching(lambda: None, after=10**15)
    progress.shard_done = lambda _: time.sleep(0.003)  # type: ignore[method-assign]
    run_plan(plan, output, progress=progress)
    time.sleep(0.05)
    ended.set()
    poller.join()
    assert not wrong
    assert seen == expected.keys()


def _whole(output: Path, expected: dict[str, bytes]) -> bool:
    return all((output / name).is_file() for name in expected)


def test_a_source_that_changed_since_the_plan_is_noticed(tmp_path: Path, model: Path) -> None:
    plan = small_plan(COPIES, model)
    shard = next(model.glob("*.safetensors"))
    raw = shard.read_bytes()
    for change in (lambda: shard.write_bytes(raw + b"\0"), lambda: _other_header(shard, raw), shard.unlink):
        change()
        with pytest.raises(DistexpandError):
            run_plan(plan, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    shard.write_bytes(raw)
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(StorageError, match=r"tokenizer\.json: isn't the file that was planned") as caught:
        run_plan(plan, tmp_path / "out")
    assert "plan again" in caught.value.hint
    assert not (tmp_path / "out").exists()


def _other_header(shard: Path, raw: bytes) -> None:
    shard.write_bytes(raw.replace(b'"format":"pt"', b'"format":"np"'))


def test_a_source_that_changes_during_the_run_is_noticed(tmp_path: Path, model: Path) -> None:
    plan = small_plan(COPIES, model, shard_size=10**9)
    shard = next(model.glob("*.safetensors"))
    raw = shard.read_bytes()

    def change() -> None:
        shard.write_bytes(raw[:-1] + b"\1")

    with pytest.raises(StorageError, match="changed while it was read"):
        run_plan(plan, tmp_path / "out", progress=Watching(change, after=1000))
    assert not list((tmp_path / "out").glob("*.safetensors"))
    run_plan(plan, tmp_path / "out", mode=OutputMode.RESUME)
    assert verify_output(tmp_path / "out", sources=True, places={"a": str(model)}).ok


@pytest.mark.parametrize("where", [".", "sub", "sub/deeper", "../a/sub"])
def test_an_output_inside_a_source_is_refused(model: Path, where: str) -> None:
    plan = small_plan(COPIES, model)
    before = tree(model)
    for mode in OutputMode:
        with pytest.raises(UsageError, match="lies in the source a"):
            run_plan(plan, model / where, mode=mode)
    assert tree(model) == before
    assert not (model / "sub").exists()


def test_an_output_inside_a_source_by_a_link_is_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(UsageError, match="lies in the source a"):
        run_plan(small_plan(COPIES, model), tmp_path / "link" / "out")


@pytest.mark.parametrize("recipe", [COPIES, BLOCKS])
def test_holes_of_a_sparse_source_stay_holes(tmp_path: Path, recipe: str) -> None:
    source = write_checkpoint(tmp_path / "a", family("tinyllama-1.1b", num_layers=4), shard_size=2 * 10**8)
    if not any(path.stat().st_blocks * 512 < path.stat().st_size for path in source.glob("*.safetensors")):
        pytest.skip("this file system has no holes")
    plan = small_plan(recipe, source, shard_size=2 * 10**8)
    run_plan(plan, tmp_path / "out")
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    assert size > 400_000_000
    assert disk_bytes(tmp_path / "out") < 2_000_000
    assert verify_output(tmp_path / "out", sources=True, places={"a": str(source)}).ok


def test_some_data_in_a_sparse_source_arrives(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "a", family("tinyllama-1.1b", num_layers=2))
    (shard,) = source.glob("*.safetensors")
    places = [shard.stat().st_size - 5, 50_000_001, 200_000_000]
    with shard.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"DATUM")
    plan = small_plan("{model: a, layer_map: [[0, 2]]}", source, shard_size=10**10)
    run_plan(plan, tmp_path / "out")
    made = tmp_path / "out" / "model.safetensors"
    assert disk_bytes(tmp_path / "out") < 4_000_000
    assert verify_output(tmp_path / "out", sources=True, places={"a": str(source)}).ok
    assert sum(raw.count(b"DATUM") for raw in _around_data(made)) == len(places)


def _around_data(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        position = 0
        while True:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield os.pread(file.fileno(), position - start, start)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 300 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("can't mount a small file system here (needs root)")
    yield place
    subprocess.run(["umount", place], check=True)


def test_too_little_space_is_known_before_anything_is_made(model: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(290_000))
    with pytest.raises(StorageError, match="bytes of disk") as caught:
        run_plan(small_plan(COPIES, model), small_disk / "out")
    assert "--resume" not in caught.value.hint
    assert sorted(small_disk.iterdir()) == [filler]


def test_space_that_ends_during_the_run_leaves_it_resumable(
    tmp_path: Path, model: Path, small_disk: Path
) -> None:
    plan = small_plan(COPIES, model, shard_size=3000)
    filler, output = small_disk / "filler", small_disk / "out"

    def fill() -> None:
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(bytes(free))

    with pytest.raises(StorageError, match="No space left"):
        run_plan(plan, output, progress=Watching(fill, after=20_000), threads=1)
    assert (output / NOTICE_NAME).exists()
    filler.unlink()
    done = identities(output)
    run_plan(plan, output, mode=OutputMode.RESUME)
    assert {name: identities(output)[name] for name in done} == done
    run_plan(plan, tmp_path / "expected")
    assert tree(output) == tree(tmp_path / "expected")


def test_a_directory_that_can_t_be_made(tmp_path: Path, model: Path) -> None:
    (tmp_path / "file").write_text("x")
    for output in (tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(DistexpandError):
            run_plan(small_plan(COPIES, model), output)


def test_nothing_unfinished_is_left(tmp_path: Path, model: Path) -> None:
    run_plan(small_plan(COPIES, model), tmp_path / "out")
    assert not (tmp_path / "out" / WORK_DIRECTORY).exists()
    assert not (tmp_path / "out" / NOTICE_NAME).exists()


@pytest.mark.parametrize("max_shard_size", ["40KB", "5GB"])
def test_a_bin_source_end_to_end(tmp_path: Path, max_shard_size: str) -> None:
    torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")
    from safetensors.torch import load_file  # noqa: PLC0415

    from tests.support.tiny import tiny_checkpoint, to_bin  # noqa: PLC0415

    made = tiny_checkpoint(tmp_path / "safe", "llama", max_shard_size=max_shard_size)
    source = to_bin(made, tmp_path / "a")
    output = tmp_path / "out"
    run_plan(small_plan(COPIES, source, shard_size=30_000), output)
    assert verify_output(output, sources=True, places={"a": str(source)}).ok
    before = {k: v for path in made.glob("*.safetensors") for k, v in load_file(path).items()}
    after = {k: v for path in output.glob("*.safetensors") for k, v in load_file(path).items()}
    for index, layer in enumerate([0, 1, 2, 1, 2, 3]):
        for name in (name for name in after if name.startswith(f"model.layers.{index}.")):
            assert torch.equal(after[name], before[name.replace(f".{index}.", f".{layer}.", 1)])
    assert not list(output.glob("*.bin*"))
