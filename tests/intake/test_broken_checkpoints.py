"""A checkpoint that isn't whole gets one clear error that names the file, before anything is planned."""

import json
import os

import pytest

from distexpand.errors import CheckpointError, DistexpandError, StorageError
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.recipe.canonical import ModelRef
from distexpand.storage.local.directories import LocalSource
from tests.intake.closed_files import compute_pin
from tests.support.sparse import write_checkpoint

INDEX = "model.safetensors.index.json"


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(tmp_path / "model", "tinyllama-1.1b", num_layers=4, shard_size=150_000_000)


def read(directory):
    return read_checkpoint(ModelRef(name="model"), LocalSource(directory))


def refused(directory, match, kind=CheckpointError):
    with pytest.raises(kind, match=match) as error:
        read(directory)
    assert str(directory) in error.value.message
    return error.value


def edit_index(directory, change):
    path = directory / INDEX
    document = json.loads(path.read_text())
    change(document["weight_map"])
    path.write_text(json.dumps(document))


def shards(directory):
    return sorted(directory.glob("*.safetensors"))


def test_whole(checkpoint):
    found = read(checkpoint)
    assert len(shards(checkpoint)) > 2
    assert {file.name for file in found.side_files} >= {"tokenizer.json", "generation_config.json"}
    assert "config.json" not in {file.name for file in found.side_files}
    assert found.catalog.metadata == {"format": "pt"}
    for entry in found.catalog.tensors.values():
        assert entry.offset + entry.length <= found.catalog.files[entry.file].size
    for name, file in found.catalog.files.items():
        assert compute_pin(LocalSource(checkpoint), name) == file.pin
    for side in found.side_files:
        assert compute_pin(LocalSource(checkpoint), side.name) == side.pin


def test_empty_directory(tmp_path):
    refused(tmp_path, r"no config\.json")


@pytest.mark.parametrize("text", ["[]", "1", "null", "", "{", '"x"', '{"a":1,"a":2}', "\udcff"])
def test_config_that_is_no_object(checkpoint, text):
    (checkpoint / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(checkpoint, r"config\.json: ")


def test_config_of_a_state_space_model_with_infinity(checkpoint):
    (checkpoint / "config.json").write_text('{"time_step_limit": [0.0, Infinity]}')
    assert read(checkpoint).config["time_step_limit"][1] == float("inf")


def test_no_weights(checkpoint):
    for path in (*shards(checkpoint), checkpoint / INDEX):
        path.unlink()
    refused(checkpoint, "no weights found")


def test_shards_without_an_index(checkpoint):
    (checkpoint / INDEX).unlink()
    assert "no index names it" in refused(checkpoint, "no weights found").hint


def test_missing_shard(checkpoint):
    shards(checkpoint)[1].unlink()
    refused(checkpoint, r"model-00002-of-\d+\.safetensors, which isn't there \(1 of \d+ shards missing\)")


def test_dangling_link_is_a_missing_shard(checkpoint):
    shard = shards(checkpoint)[0]
    shard.unlink()
    shard.symlink_to("../blobs/abc")
    refused(checkpoint, "which isn't there")


def test_links_as_in_the_hubs_cache_are_followed(checkpoint, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in checkpoint.iterdir():
        (cache / path.name).symlink_to(path)
    assert read(cache).catalog.tensors.keys() == read(checkpoint).catalog.tensors.keys()


def test_index_entry_too_many(checkpoint):
    edit_index(checkpoint, lambda entries: entries.update({"ghost.weight": shards(checkpoint)[0].name}))
    refused(checkpoint, r"tensor 'ghost.weight' should lie in .*, but no shard has it")


def test_index_entry_missing(checkpoint):
    edit_index(checkpoint, lambda entries: entries.pop("model.norm.weight"))
    refused(checkpoint, r"tensor 'model.norm.weight' of .* is missing in the index")


def test_index_entry_in_another_shard(checkpoint):
    edit_index(checkpoint, lambda e: e.update({"model.norm.weight": e["model.embed_tokens.weight"]}))
    refused(checkpoint, "but it lies in")


def test_tensor_in_two_shards(checkpoint):
    first, second = shards(checkpoint)[:2]
    second.unlink()
    os.link(first, second)
    refused(checkpoint, "lies in .* as well")


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "config.json"])
def test_index_that_leaves_its_folder(checkpoint, name):
    edit_index(checkpoint, lambda entries: entries.update({"model.norm.weight": name}))
    refused(checkpoint, "plain file name|not a .safetensors file")


@pytest.mark.parametrize("size", [0, 7, 8, 100, 3000, -1])
def test_truncated_shard(checkpoint, size):
    shard = shards(checkpoint)[0]
    os.truncate(shard, size % shard.stat().st_size)
    refused(checkpoint, shard.name)


def test_longer_shard(checkpoint):
    shard = shards(checkpoint)[0]
    os.truncate(shard, shard.stat().st_size + 1)
    refused(checkpoint, "1 bytes after the last tensor")


def test_shard_that_is_a_git_lfs_pointer(checkpoint):
    shards(checkpoint)[0].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n")
    refused(checkpoint, shards(checkpoint)[0].name)


def test_pins_notice(checkpoint):
    store, shard = LocalSource(checkpoint), shards(checkpoint)[0]
    before = compute_pin(store, shard.name)
    with shard.open("r+b") as file:
        file.seek(9)
        file.write(b"'")
    assert compute_pin(store, shard.name) != before
    os.truncate(shard, 20)
    with pytest.raises(CheckpointError):
        compute_pin(store, shard.name)
    pin = compute_pin(store, "tokenizer.json")
    (checkpoint / "tokenizer.json").write_text("{}")
    assert compute_pin(store, "tokenizer.json") != pin
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(StorageError):
        compute_pin(store, "tokenizer.json")


def test_file_that_can_not_be_read(checkpoint, unprivileged):
    directory = unprivileged.copy(checkpoint)
    (directory / INDEX).chmod(0)
    with unprivileged.user(), pytest.raises(StorageError, match="can't open: Permission denied") as error:
        read(directory)
    assert "permissions" in error.value.hint


def test_errors_are_all_ours(checkpoint):
    """A checkpoint with one byte of a small file replaced is read, or refused by an error of ours."""
    for name in (INDEX, "config.json", "tokenizer.json"):
        raw = (checkpoint / name).read_bytes()
        for position in range(0, min(len(raw), 300), 7):
            for byte in (b'"', b"\xff", b"}", b"9"):
                (checkpoint / name).write_bytes(raw[:position] + byte + raw[position + 1 :])
                try:
                    read(checkpoint)
                except DistexpandError as error:
                    assert str(checkpoint) in error.message  # noqa: PT017  # either way is right
        (checkpoint / name).write_bytes(raw)
