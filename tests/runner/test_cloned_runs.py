"""Outputs that share blocks with their sources or with themselves: whole runs on real XFS and Btrfs."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from distexpand.api import plan_expansion, run_plan, summarise_plan, verify_output
from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME, Manifest
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.formats.header import parse_header
from distexpand.planning.model import Plan
from distexpand.verifying.report import Difference
from distexpand.verifying.structure import read_manifest
from tests.api.small import BLOCKS, COPIES, disk_bytes, identities, small_plan, tree
from tests.runner.test_local_runs import StoppingAfterAShard
from tests.support.mounts import CLONING, FileSystems, fresh_folder, used_bytes
from tests.support.shapes import family
from tests.support.sparse import Fill, write_checkpoint
from tests.support.transfers import (
    DIRECT_READ,
    DIRECT_WRITTEN,
    READ,
    SHARED,
    WRITTEN,
    counted_transfers,
)

LAYER_BYTES = 4_720_640
SHARD_SIZE = 10_000_000
MEBIBYTE = 2**20


def model_in(folder: Path, *, num_layers: int = 4, fill: Fill = "random") -> Path:
    """Write a model of a file for each layer, with tensors of half a megabyte beside small ones."""
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    shape = family("llama2-7b", num_layers=num_layers, **sizes, **heads)
    return write_checkpoint(folder / "a", shape, fill=fill, seed=1, shard_size=5_000_000)


def shard_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A model, what was made of it by sharing and by copying, and the disk that sharing took."""

    model: Path
    plan: Plan
    cloned: Path
    copied: Path
    used: int

    @property
    def places(self) -> dict[str, str]:
        return {"a": str(self.model)}


@pytest.fixture(scope="module", params=CLONING)
def made(request: pytest.FixtureRequest, file_systems: FileSystems) -> Iterator[Made]:
    with fresh_folder(file_systems[request.param]) as folder:
        model = model_in(folder)
        plan = small_plan(COPIES, model, shard_size=SHARD_SIZE)
        before = used_bytes(folder)
        run_plan(plan, folder / "cloned")
        used = used_bytes(folder) - before
        run_plan(plan, folder / "copied", clone=False)
        yield Made(model=model, plan=plan, cloned=folder / "cloned", copied=folder / "copied", used=used)


@pytest.fixture
def cloned(made: Made) -> Iterator[Path]:
    """A cloned output to change, itself a clone."""
    with fresh_folder(made.cloned.parent) as folder:
        subprocess.run(["cp", "-a", "--reflink=always", made.cloned, folder / "out"], check=True)
        yield folder / "out"


def unrecorded(manifest: Manifest) -> list[tuple[str, str]]:
    """Return file and name of every tensor without a digest."""
    return [
        (shard.name, name)
        for shard in manifest.shards
        for name, digest in shard.tensors.items()
        if not digest
    ]


def test_only_the_manifest_tells_a_clone_from_a_copy(made: Made) -> None:
    cloned, copied = tree(made.cloned), tree(made.copied)
    assert cloned.keys() == copied.keys()
    assert [name for name in cloned if cloned[name] != copied[name]] == [MANIFEST_NAME]
    known, whole = read_manifest(made.cloned), read_manifest(made.copied)
    assert len(unrecorded(known)) >= 6 * 7
    assert unrecorded(whole) == []
    for shard, other in zip(known.shards, whole.shards, strict=True):
        assert {**other.tensors, **{k: v for k, v in shard.tensors.items() if v}} == other.tensors
        assert list(shard.tensors) == list(other.tensors)


def test_a_clone_takes_hardly_any_disk(made: Made) -> None:
    assert shard_bytes(made.cloned) > 6 * LAYER_BYTES
    small = sum(
        path.stat().st_blocks * 512 for path in made.cloned.iterdir() if path.suffix != ".safetensors"
    )
    assert made.used - small < shard_bytes(made.cloned) / 100


def test_a_clone_stands_when_its_source_is_gone(made: Made) -> None:
    with fresh_folder(made.cloned.parent) as folder:
        subprocess.run(["cp", "-a", "--reflink=always", made.model, folder / "a"], check=True)
        run_plan(small_plan(COPIES, folder / "a", shard_size=SHARD_SIZE), folder / "out")
        shutil.rmtree(folder / "a")
        assert verify_output(folder / "out", record=True).ok
        assert tree(folder / "out") == tree(made.copied)


def test_verification_notes_what_was_never_read_and_records_it_when_asked(made: Made, cloned: Path) -> None:
    missing = len(unrecorded(read_manifest(cloned)))
    before = tree(cloned)
    for sources in (False, True):
        report = verify_output(cloned, sources=sources, places=made.places)
        assert report.ok
        (note,) = report.notes
        assert note.startswith(f"{missing} tensors share blocks")
        assert "verify --record" in note
    assert tree(cloned) == before
    assert verify_output(cloned, record=True).notes == ()
    assert tree(cloned) == tree(made.copied)
    assert verify_output(cloned, sources=True, places=made.places).notes == ()
    recorded = (cloned / MANIFEST_NAME).stat()
    verify_output(cloned, record=True)
    assert (cloned / MANIFEST_NAME).stat().st_mtime_ns == recorded.st_mtime_ns


def test_a_copy_has_nothing_to_note_or_record(made: Made) -> None:
    before = identities(made.copied), (made.copied / MANIFEST_NAME).stat()
    assert verify_output(made.copied, record=True).notes == ()
    assert (identities(made.copied), (made.copied / MANIFEST_NAME).stat()) == before


def _flip(output: Path, file: str, tensor: str) -> None:
    """Change a bit in the middle of a tensor."""
    with (output / file).open("r+b") as shard:
        size = 8 + int.from_bytes(shard.read(8), "little")
        shard.seek(0)
        header = parse_header(shard.read(size), file_size=(output / file).stat().st_size, origin=file)
        place = header.tensors[tensor].offset + header.tensors[tensor].length // 2
        shard.seek(place)
        (byte,) = shard.read(1)
        shard.seek(place)
        shard.write(bytes([byte ^ 1]))


def named(differences: tuple[Difference, ...]) -> list[tuple[str, str, str]]:
    return [(difference.check, difference.file, difference.tensor) for difference in differences]


def test_damage_of_a_shared_tensor_is_found_by_the_sources_or_once_it_is_recorded(
    made: Made, cloned: Path
) -> None:
    file, tensor = unrecorded(read_manifest(cloned))[5]
    _flip(cloned, file, tensor)
    assert verify_output(cloned).ok, "nothing is known of it"
    report = verify_output(cloned, sources=True, record=True, places=made.places)
    assert named(report.differences) == [("sources", file, tensor)]
    assert unrecorded(read_manifest(cloned)), "a damaged output is not recorded"
    _flip(cloned, file, tensor)
    assert verify_output(cloned, sources=True, record=True, places=made.places).ok
    _flip(cloned, file, tensor)
    assert named(verify_output(cloned).differences) == [("content", file, tensor)]


def test_the_source_is_not_what_the_output_s_damage_changes(made: Made, cloned: Path) -> None:
    source = tree(made.model)
    for file, tensor in unrecorded(read_manifest(cloned))[::9]:
        _flip(cloned, file, tensor)
    assert tree(made.model) == source
    assert verify_output(made.cloned, sources=True, places=made.places).ok


@pytest.mark.parametrize("sources", [False, True])
def test_damage_of_what_was_read_is_named_alone(made: Made, cloned: Path, sources: bool) -> None:
    """Beside tensors of the same file that aren't recorded."""
    manifest = read_manifest(cloned)
    missing = unrecorded(manifest)
    file, tensor = next(
        (shard.name, name)
        for shard in manifest.shards
        for name, digest in shard.tensors.items()
        if digest and any(file == shard.name for file, _ in missing)
    )
    _flip(cloned, file, tensor)
    report = verify_output(cloned, sources=sources, record=True, places=made.places)
    assert named(report.differences) == [("content", file, tensor)]
    assert read_manifest(cloned) == manifest


def test_a_missing_file_is_named_alone_beside_what_is_not_recorded(made: Made, cloned: Path) -> None:
    file, _ = unrecorded(read_manifest(cloned))[0]
    (cloned / file).unlink()
    report = verify_output(cloned, sources=True, places=made.places)
    assert named(report.differences) == [("structure", file, "")]


def test_an_interrupted_clone_goes_on_either_way(made: Made) -> None:
    for clone in (True, False):
        with fresh_folder(made.cloned.parent) as folder:
            stop = threading.Event()
            with pytest.raises(InterruptedRunError):
                run_plan(made.plan, folder / "out", stop=stop, progress=StoppingAfterAShard(stop))
            done = identities(folder / "out")
            assert 0 < len(done) < len(made.plan.shards)
            run_plan(made.plan, folder / "out", mode=OutputMode.RESUME, clone=clone)
            assert {name: identities(folder / "out")[name] for name in done} == done
            assert verify_output(folder / "out", record=True).ok
            assert tree(folder / "out") == tree(made.copied)


def test_what_is_shared_is_neither_read_nor_written_and_told(made: Made) -> None:
    told: list[str] = []
    with fresh_folder(made.cloned.parent) as folder, counted_transfers() as moved:
        run_plan(made.plan, folder / "out", tell=told.append)
    size = shard_bytes(made.cloned)
    assert moved[SHARED] > size * 0.99
    assert moved[DIRECT_READ] + moved[READ] < size / 100
    assert moved[DIRECT_WRITTEN] + moved[WRITTEN] < size / 100
    kind = "xfs" if "xfs" in str(made.cloned) else "btrfs"
    assert told == [
        f"reading direct ({kind})",
        f"writing direct ({kind})",
        "sharing blocks with sources where possible: those are neither read nor written",
    ]
    with fresh_folder(made.cloned.parent) as folder, counted_transfers() as moved:
        told.clear()
        run_plan(made.plan, folder / "out", clone=False, tell=told.append)
    assert moved[SHARED] == 0
    assert moved[DIRECT_READ] > size / 2 < moved[DIRECT_WRITTEN]
    assert len(told) == 2


def _plan_of_duplicates(folder: Path) -> Plan:
    """Return a plan with a layer four times, each in a shard of its own but for its end."""
    recipe = "{model: a, layer_map: [[0, 2], [1, 2], [1, 2], [1, 2], [2, 4]]}"
    return small_plan(recipe, model_in(folder), shard_size=LAYER_BYTES + 10_000)


@pytest.mark.parametrize("kind", CLONING)
def test_duplicates_share_the_output_s_first_copy_where_the_source_is_elsewhere(
    kind: str, tmp_path: Path, file_systems: FileSystems
) -> None:
    plan = _plan_of_duplicates(tmp_path)
    with fresh_folder(file_systems[kind]) as folder, counted_transfers() as moved:
        run_plan(plan, folder / "out")
        shared = moved[SHARED]
        assert 2.9 * LAYER_BYTES < shared < 3 * LAYER_BYTES
        assert (
            moved[DIRECT_WRITTEN] + moved[WRITTEN] < sum(shard.size for shard in plan.shards) - shared + 1000
        )
        assert unrecorded(read_manifest(folder / "out")) == []
        run_plan(plan, folder / "copied", clone=False)
        assert moved[SHARED] == shared
        assert tree(folder / "out") == tree(folder / "copied")


@pytest.mark.parametrize("kind", CLONING)
def test_duplicates_take_no_disk(kind: str, tmp_path: Path, file_systems: FileSystems) -> None:
    plan = _plan_of_duplicates(tmp_path)
    with fresh_folder(file_systems[kind]) as folder:
        before = used_bytes(folder)
        run_plan(plan, folder / "out")
        used = used_bytes(folder) - before
    assert used < sum(shard.size for shard in plan.shards) - 2.9 * LAYER_BYTES + MEBIBYTE


@pytest.mark.parametrize("kind", CLONING)
@pytest.mark.parametrize("clone", [True, False])
def test_sparse_sources_stay_sparse(kind: str, clone: bool, file_systems: FileSystems) -> None:
    with fresh_folder(file_systems[kind]) as folder:
        model = model_in(folder, fill="hole")
        (shard, *_) = sorted(model.glob("*.safetensors"))
        with shard.open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"DATUM" * 1000)
        run_plan(small_plan(COPIES, model, shard_size=SHARD_SIZE), folder / "out", clone=clone)
        assert disk_bytes(folder / "out") < MEBIBYTE < shard_bytes(folder / "out")
        assert b"DATUM" * 1000 in b"".join(
            path.read_bytes() for path in (folder / "out").glob("*.safetensors")
        )
        assert verify_output(folder / "out", sources=True, places={"a": str(model)}).ok


@pytest.mark.parametrize("kind", CLONING)
@pytest.mark.parametrize("clone", [True, False])
def test_zeros_are_holes_beside_what_is_shared_or_copied(
    kind: str, clone: bool, file_systems: FileSystems
) -> None:
    with fresh_folder(file_systems[kind]) as folder:
        model = model_in(folder)
        plan = small_plan(BLOCKS, model, shard_size=SHARD_SIZE)
        run_plan(plan, folder / "out", clone=clone)
        zeros = 2 * 2 * (512 * 512 + 512 * 1024)  # o_proj and down_proj of two blocks
        assert disk_bytes(folder / "out") < shard_bytes(folder / "out") - zeros + MEBIBYTE
        assert verify_output(folder / "out", sources=True, places={"a": str(model)}).ok


@pytest.mark.parametrize("kind", CLONING)
def test_a_clone_runs_where_a_copy_would_not_fit(kind: str, file_systems: FileSystems) -> None:
    with fresh_folder(file_systems[kind]) as folder:
        model = model_in(folder)
        plan = small_plan(COPIES, model, shard_size=SHARD_SIZE)
        used_bytes(folder)  # what was removed before is free only once it is written
        _leave_free(folder, 12 * MEBIBYTE)
        planned = plan_expansion(COPIES, origin="r", places={"a": str(model)}, shard_size=SHARD_SIZE)
        summary = summarise_plan(planned, output=folder / "out")
        free = shutil.disk_usage(folder).free
        assert summary.disk_needed < MEBIBYTE < free < sum(shard.size for shard in plan.shards)
        assert "share blocks" in json.dumps(summary.to_json()["io"])
        with pytest.raises(StorageError, match="bytes of disk"):
            run_plan(plan, folder / "out", clone=False)
        assert not (folder / "out").exists()
        run_plan(plan, folder / "out")
        assert verify_output(folder / "out", sources=True, places={"a": str(model)}).ok


def _leave_free(folder: Path, wanted: int) -> None:
    """Fill a file system but for some bytes."""
    with (folder / "filler").open("wb") as file:
        for size in (64 * MEBIBYTE, 4 * MEBIBYTE, MEBIBYTE):
            with suppress(OSError):  # what is free may not all be to be had
                while shutil.disk_usage(folder).free > wanted + size:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                    os.fsync(file.fileno())
        # What a file system keeps for itself grows after the fact.
        while used_bytes(folder) and shutil.disk_usage(folder).free < wanted // 2:
            file.truncate(file.tell() - 4 * MEBIBYTE)
            file.seek(0, os.SEEK_END)
