"""Runs of shards that are worked on together: interrupted, failing, with few files allowed; zeros."""

import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.work_directory import current
from distexpand.engine import sharing
from distexpand.engine.sharing import groups_that_share
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.planning.model import Plan
from distexpand.planning.operations import Copy, Zero
from distexpand.runner.local import MOST_TOGETHER_BYTES
from distexpand.storage.local.reader import LocalReader
from tests.api.small import disk_bytes, identities, small_model, small_plan, tree
from tests.runner.test_local_runs import Watching
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint
from tests.support.transfers import DIRECT_READ, READ, counted_transfers, takes_direct_io

REPEATED = "{model: a, layer_map: [[0, 4], [1, 3], [1, 4], [0, 2]]}"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of a model so small that its copies have to be let count as large."""
    monkeypatch.setattr(sharing, "_LEAST_READ", 64)
    plan = small_plan(REPEATED, small_model(tmp_path / "a"), shard_size=3000)
    sizes = [len(group) for group in groups_that_share(plan.shards, most_bytes=MOST_TOGETHER_BYTES)]
    assert max(sizes) > 2
    assert len(sizes) > 1
    return plan


@pytest.fixture
def expected(tmp_path: Path, plan: Plan) -> dict[str, bytes]:
    """The output, with no two shards worked on together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_LEAST_READ", 10**9)
        run_plan(plan, tmp_path / "expected")
    return tree(tmp_path / "expected")


def test_the_same_bytes_however_many_are_together(
    tmp_path: Path, plan: Plan, expected: dict[str, bytes]
) -> None:
    for threads in (1, 4):
        run_plan(plan, tmp_path / f"out-{threads}", threads=threads)
        assert tree(tmp_path / f"out-{threads}") == expected


@pytest.mark.parametrize("after", [1, 9_000, 20_000, 40_000])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_interrupted_group_goes_on(
    tmp_path: Path, plan: Plan, expected: dict[str, bytes], after: int, threads: int
) -> None:
    output, stop = tmp_path / "out", threading.Event()
    with pytest.raises(InterruptedRunError):
        run_plan(plan, output, stop=stop, progress=Watching(stop.set, after=after), threads=threads)
    assert list(current(output).attempts.iterdir()) == []
    done = identities(output)
    assert {name: (output / name).read_bytes() for name in done}.items() <= expected.items()
    run_plan(plan, output, mode=OutputMode.RESUME, threads=threads)
    assert {name: identities(output)[name] for name in done} == done
    assert tree(output) == expected


def test_a_failure_in_a_group_keeps_what_is_whole(
    tmp_path: Path, plan: Plan, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = groups_that_share(plan.shards, most_bytes=MOST_TOGETHER_BYTES)
    group = max(groups, key=len)
    broken = _read_by_the_last_alone(plan, [s for g in groups[: groups.index(group) + 1] for s in g])
    real = LocalReader.read_into

    def reading(reader: LocalReader, offset: int, buffer: memoryview) -> None:
        if reader.path.name == broken[0] and offset <= broken[1] < offset + len(buffer):
            raise StorageError("the disk is broken")
        real(reader, offset, buffer)

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(LocalReader, "read_into", reading)
        with pytest.raises(StorageError, match="the disk is broken"):
            run_plan(plan, output, threads=1)
    assert list(current(output).attempts.iterdir()) == []
    done = identities(output)
    assert len(done) > 0
    assert {name: (output / name).read_bytes() for name in done}.items() <= expected.items()
    run_plan(plan, output, mode=OutputMode.RESUME)
    assert {name: identities(output)[name] for name in done} == done
    assert tree(output) == expected


def _read_by_the_last_alone(plan: Plan, shards: list) -> tuple[str, int]:
    """Return file and offset of a byte that of these shards only a late one reads."""
    for shard in reversed(shards[1:]):
        before = {
            (op.source, op.source_offset)
            for other in shards[: shards.index(shard)]
            for op in other.operations
            if isinstance(op, Copy)
        }
        for op in shard.operations:
            if isinstance(op, Copy) and (op.source, op.source_offset) not in before:
                return plan.sources[op.source].path, op.source_offset
    raise AssertionError("the shards read the same bytes")


@pytest.mark.parametrize(("room", "direct"), [(1000, True), (0, False)], ids=["enough", "too few"])
def test_where_too_few_files_may_be_open_sources_are_read_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, direct: bool
) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "vocab_size": 16}
    shape = family("llama2-7b", num_layers=3, num_attention_heads=4, num_key_value_heads=4, **sizes)
    model = write_checkpoint(tmp_path / "a", shape, fill="random", shard_size=1_000_000)
    plan = small_plan("{model: a, layer_map: [[0, 3], [0, 3]]}", model)
    files = len([source for source in plan.sources if source.path.endswith(".safetensors")])
    monkeypatch.setattr("distexpand.runner.writing.allow_open_files", lambda count: count <= files + room)
    kind_is_direct = takes_direct_io(tmp_path)
    monkeypatch.setattr("distexpand.storage.local.io_path.file_system_of", lambda _: "ext4")
    with counted_transfers() as moved:
        run_plan(plan, tmp_path / "out", clone=False)
    assert (moved[DIRECT_READ] > 0) is (direct and kind_is_direct)
    assert moved[READ] > 0
    assert verify_output(tmp_path / "out", sources=True, places={"a": str(model)}).ok


def test_a_hard_limit_of_open_files_leaves_room_for_the_plain_readers_only(tmp_path: Path) -> None:
    """All of them fit, but not a second descriptor for each."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 40}
    shape = family("llama2-7b", num_layers=64, num_attention_heads=4, num_key_value_heads=2, **sizes)
    model = write_checkpoint(tmp_path / "a", shape, fill="random", shard_size=1500)
    files = len(list(model.glob("*.safetensors")))
    hard = files + 140
    assert files > 140, "else there would be room for all"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "distexpand",
            "run",
            "-",
            tmp_path / "out",
            "--verbose",
            "--model",
            f"a={model}",
        ],
        input=b"{model: a, layer_map: [[0, 64]]}",
        check=False,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)),
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"writing" in done.stderr
    assert b"reading buffered" in done.stderr
    assert verify_output(tmp_path / "out", sources=True, places={"a": str(model)}).ok


def test_zero_tensors_take_no_blocks_and_are_not_written(any_place: Path) -> None:
    """Whole blocks of identity layers, beside what is copied, on every kind of file system."""
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "vocab_size": 16}
    shape = family("llama2-7b", num_layers=2, num_attention_heads=4, num_key_value_heads=4, **sizes)
    model = write_checkpoint(any_place / "a", shape, fill="random", shard_size=10**9)
    plan = small_plan("{model: a, block_expansion: {blocks: 2, where: interleaved}}", model, shard_size=10**9)
    zeros = sum(op.length for shard in plan.shards for op in shard.operations if isinstance(op, Zero))
    size = sum(shard.size for shard in plan.shards)
    assert zeros == 2 * 2 * (256 * 256 + 256 * 1024)
    with counted_transfers() as moved:
        run_plan(plan, any_place / "out", clone=False)
    assert moved["written"] + moved["written directly"] == size - zeros
    shards = list((any_place / "out").glob("*.safetensors"))
    taken = sum(path.stat().st_blocks * 512 for path in shards)
    # Of each of four runs of zeros a page at either end may hold something else as well.
    assert taken <= size - zeros + 8 * 4096 + 4096 < size - zeros / 2
    assert sum(path.stat().st_size for path in shards) == size
    assert verify_output(any_place / "out", sources=True, places={"a": str(model)}).ok
    assert disk_bytes(any_place / "out") < size
