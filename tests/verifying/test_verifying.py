"""Verification finds every changed byte and says where it is."""

import hashlib
import json
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from distexpand.api import run_plan, verify_output
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest, encode_manifest
from distexpand.errors import DistexpandError, OutputError, UsageError
from distexpand.formats.header import parse_header
from distexpand.formats.index import INDEX_NAME
from distexpand.planning.digest_layout import combined_digest, piece_digest
from distexpand.report.watching.display import NoProgress
from tests.api.small import BLOCKS, SCALED, small_model, small_plan, tree


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a")


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "out"
    run_plan(small_plan(BLOCKS, model), output)
    return output


@pytest.fixture
def output(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def found(output: Path, model: Path | None = None) -> list[tuple[str, str]]:
    """Return file and tensor of every difference; with a model against the sources as well."""
    places = {"a": str(model)} if model else None
    report = verify_output(output, sources=model is not None, places=places)
    assert report.ok is (not report.differences)
    return [(difference.file, difference.tensor) for difference in report.differences]


def test_a_good_output_is_verified(whole: Path, model: Path) -> None:
    report = verify_output(whole, sources=True, places={"a": str(model)})
    assert report.ok
    assert report.checks == ("structure", "content", "sources")
    assert report.layers == 6
    assert report.tensors == 3 + 6 * 9
    assert report.bytes_read == sum(path.stat().st_size for path in whole.glob("*.safetensors"))
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_byte_anywhere_is_named(output: Path, seed: int) -> None:
    chance = random.Random(seed)
    for name, raw in tree(output).items():
        places = [chance.randrange(len(raw)) for _ in range(4)]
        for place in [*places, *([0, 8, 60] if name.endswith(".safetensors") else [])]:
            changed = bytearray(raw)
            changed[place] ^= 1 << chance.randrange(8)
            (output / name).write_bytes(changed)
            (difference,) = verify_output(output).differences
            assert difference.file == name
            expected = _tensor_at(raw, place) if name.endswith(".safetensors") else ""
            if expected:
                assert difference.tensor == expected
        (output / name).write_bytes(raw)
    assert found(output) == []


def _tensor_at(raw: bytes, place: int) -> str:
    size = 8 + int.from_bytes(raw[:8], "little")
    header = parse_header(raw[:size], file_size=len(raw), origin="")
    names = [n for n, t in header.tensors.items() if t.offset <= place < t.offset + t.length]
    return names[0] if names else ""


def test_every_byte_of_a_header_counts(output: Path) -> None:
    shard = min(output.glob("*.safetensors"))
    raw = shard.read_bytes()
    size = 8 + int.from_bytes(raw[:8], "little")
    for place in range(0, size, 7):
        changed = bytearray(raw)
        changed[place] ^= 0x01
        shard.write_bytes(changed)
        assert {file for file, _ in found(output)} == {shard.name}, place


def test_two_differences_are_both_named(output: Path) -> None:
    first, *_, last = sorted(output.glob("*.safetensors"))
    expected = []
    for shard in (first, last):
        raw = bytearray(shard.read_bytes())
        raw[-1] ^= 1
        expected.append((shard.name, _tensor_at(bytes(raw), len(raw) - 1)))
        shard.write_bytes(raw)
    assert found(output) == expected


def test_missing_and_truncated_files_are_named(output: Path) -> None:
    for name, raw in tree(output).items():
        if name == MANIFEST_NAME:
            continue
        (output / name).unlink()
        assert name in {file for file, _ in found(output)}
        (output / name).write_bytes(raw[:-1])
        assert name in {file for file, _ in found(output)}
        (output / name).write_bytes(raw + b"\n")
        assert name in {file for file, _ in found(output)}
        (output / name).write_bytes(raw)
    assert found(output) == []


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "extra.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"],
)
def test_weights_that_aren_t_ours_are_named(output: Path, name: str) -> None:
    shutil.copy(min(output.glob("*.safetensors")), output / name)
    assert found(output) == [(name, "")]


def test_other_files_beside_ours_are_allowed(output: Path) -> None:
    (output / "notes.md").write_text("mine")
    assert found(output) == []


def _edit(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, indent=2))


def test_an_edited_config_is_named(output: Path) -> None:
    _edit(output / "config.json", lambda config: config.update(num_hidden_layers=5))
    assert {file for file, _ in found(output)} == {"config.json"}


def test_content_is_checked_beside_an_edited_config(output: Path) -> None:
    _edit(output / "config.json", lambda config: config.update(use_cache=False))
    shard = min(output.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    assert found(output) == [("config.json", ""), (shard.name, _tensor_at(bytes(raw), len(raw) - 1))]


def test_an_edited_index_is_named(output: Path) -> None:
    _edit(output / INDEX_NAME, lambda index: index["weight_map"].popitem())
    assert {file for file, _ in found(output)} == {INDEX_NAME}


def _forge(output: Path, name: str) -> None:
    """Make the manifest agree with a file that was changed, its own digest too."""
    path = output / MANIFEST_NAME
    manifest = decode_manifest(path.read_bytes(), origin="m")
    raw = (output / name).read_bytes()
    if name in manifest.files:
        files = {**manifest.files, name: hashlib.sha256(raw).hexdigest()}
        path.write_bytes(encode_manifest(replace(manifest, files=files)))
        return
    size = 8 + int.from_bytes(raw[:8], "little")
    header = parse_header(raw[:size], file_size=len(raw), origin=name)
    digests = {
        tensor: combined_digest([piece_digest(raw[t.offset : t.offset + t.length])])
        for tensor, t in sorted(header.tensors.items(), key=lambda item: item[1].offset)
    }
    digest = combined_digest([piece_digest(raw[:size]), *digests.values()]).hex()
    shards = tuple(
        replace(s, digest=digest, tensors={k: v.hex() for k, v in digests.items()}) if s.name == name else s
        for s in manifest.shards
    )
    path.write_bytes(encode_manifest(replace(manifest, shards=shards)))


def test_forged_tensors_are_found_by_the_sources(output: Path, model: Path) -> None:
    shard = max(output.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    _forge(output, shard.name)
    assert found(output) == []
    assert found(output, model) == [(shard.name, _tensor_at(bytes(raw), len(raw) - 1))]


def test_a_forged_dtype_is_found_by_the_sources(output: Path, model: Path) -> None:
    shard = max(output.glob("*.safetensors"))
    raw = shard.read_bytes()
    shard.write_bytes(raw.replace(b'"BF16"', b'"U16" ', 1))
    _forge(output, shard.name)
    assert found(output) == []
    ((file, tensor),) = found(output, model)
    assert file == shard.name
    assert tensor


def test_a_forged_config_is_found_by_the_sources(output: Path, model: Path) -> None:
    _edit(output / "config.json", lambda config: config.update(rms_norm_eps=1.0))
    _forge(output, "config.json")
    assert found(output) == []
    assert found(output, model) == [("config.json", "")]


def test_a_forged_provenance_is_found_by_the_sources(output: Path, model: Path) -> None:
    path = output / MANIFEST_NAME
    manifest = decode_manifest(path.read_bytes(), origin="m")
    layers = (replace(manifest.layers[0], layer=3), *manifest.layers[1:])
    path.write_bytes(encode_manifest(replace(manifest, layers=layers)))
    assert found(output) == []
    assert found(output, model) == [(MANIFEST_NAME, "")]


def test_weights_changed_in_the_source_are_found(output: Path, tmp_path: Path) -> None:
    other = small_model(tmp_path / "a", seed=2)
    differences = found(output, other)
    assert len(differences) == 3 + 6 * 9 - 4
    smaller = small_model(tmp_path / "c" / "a", num_layers=3)
    with pytest.raises(DistexpandError):
        verify_output(output, sources=True, places={"a": str(smaller)})


@pytest.mark.parametrize("recipe", [SCALED, SCALED + "dtype: float32\nout_dtype: float16\n"])
def test_transforms_are_recomputed(model: Path, tmp_path: Path, recipe: str) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    output = tmp_path / "out"
    run_plan(small_plan(recipe, model), output)
    assert found(output, model) == []
    shard = min(output.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-2] ^= 1
    shard.write_bytes(raw)
    _forge(output, shard.name)
    assert found(output, model) == [(shard.name, _tensor_at(bytes(raw), len(raw) - 2))]


def test_what_isn_t_an_output(tmp_path: Path, output: Path) -> None:
    with pytest.raises(OutputError, match=r"none: no such directory\nGive the directory"):
        verify_output(tmp_path / "none")
    with pytest.raises(OutputError, match=r"ou: no such directory\nDid you mean .*out\?"):
        verify_output(output.with_name("ou"))
    with pytest.raises(OutputError, match=r"config\.json: is a file, not a directory"):
        verify_output(output / "config.json")
    (output / MANIFEST_NAME).unlink()
    with pytest.raises(OutputError, match="didn't make it"):
        verify_output(output)
    with pytest.raises(UsageError):
        verify_output(_whole_again(tmp_path), sources=True)


def test_leftovers_of_a_run_are_noted(output: Path) -> None:
    assert verify_output(output).notes == ()
    (output / ".distexpand").mkdir()
    (output / ".distexpand-done-1").mkdir()
    (output / "UNFINISHED.txt").write_text("unfinished")
    report = verify_output(output)
    assert report.ok
    named = [note.split()[0] for note in report.notes]
    assert named == [".distexpand", ".distexpand-done-1", "UNFINISHED.txt"]


def test_files_that_have_no_bytes_of_their_own(output: Path) -> None:
    """The memory of a process has no size and can't be read at its start, by root neither."""
    for name in ("README.md", "config.json"):
        kept = (output / name).read_bytes()
        (output / name).unlink()
        (output / name).symlink_to("/proc/self/mem")
        (difference,) = verify_output(output).differences
        assert (difference.file, difference.check) == (name, "structure")
        (output / name).unlink()
        (output / name).write_bytes(kept)
    (output / MANIFEST_NAME).unlink()
    (output / MANIFEST_NAME).symlink_to("/proc/self/mem")
    (difference,) = verify_output(output).differences
    assert difference.file == MANIFEST_NAME


def test_a_difference_names_its_file_once(output: Path) -> None:
    shard = min(output.glob("*.safetensors"))
    manifest = (output / MANIFEST_NAME).read_bytes()
    damages = {
        MANIFEST_NAME: lambda raw: raw.replace(b'"layers"', b'"Layers"', 1),
        shard.name: lambda raw: b"\xff" * 8 + raw[8:],
        INDEX_NAME: lambda raw: raw.replace(b"{", b"[", 1),
        "config.json": lambda raw: raw[:-3],
    }
    for name, damage in damages.items():
        kept = (output / name).read_bytes()
        (output / name).write_bytes(damage(kept))
        if name != MANIFEST_NAME and name in decode_manifest(manifest, origin="m").files:
            _forge(output, name)
        for difference in verify_output(output).differences:
            assert name not in difference.message
            assert str(output) not in difference.message
        (output / name).write_bytes(kept)
        (output / MANIFEST_NAME).write_bytes(manifest)


class Recorded(NoProgress):
    """A progress display that keeps what it is told."""

    def __init__(self) -> None:
        self.total = self.shards = self.done = self.shards_done = self.stopped = 0
        self._lock = threading.Lock()

    def start(self, *, total_bytes: int, done_bytes: int, shards: int, shards_done: int) -> None:
        assert (done_bytes, shards_done) == (0, 0)
        self.total, self.shards = total_bytes, shards

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self.done += nbytes

    def shard_done(self, name: str) -> None:
        assert name.endswith(".safetensors")
        self.shards_done += 1

    def stop(self) -> None:
        self.stopped += 1


@pytest.mark.parametrize("sources", [False, True])
def test_progress_tells_of_every_byte(whole: Path, model: Path, sources: bool) -> None:
    told = Recorded()
    report = verify_output(whole, sources=sources, places={"a": str(model)}, progress=told)
    assert report.ok
    assert told.total == told.done
    assert told.shards == told.shards_done
    assert (told.total > report.bytes_read) is sources
    assert told.stopped == 1


def test_progress_of_a_damaged_output_ends(output: Path) -> None:
    min(output.glob("*.safetensors")).write_bytes(b"")
    told = Recorded()
    assert not verify_output(output, progress=told).ok
    assert told.total == told.done > 0
    assert told.stopped == 1


def _whole_again(tmp_path: Path) -> Path:
    """Return an output whose recipe names a model that isn't here."""
    model = small_model(tmp_path / "models" / "a")
    again = tmp_path / "again"
    run_plan(small_plan(BLOCKS, model), again)
    return again
