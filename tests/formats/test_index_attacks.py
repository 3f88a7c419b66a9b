"""An index may only name files beside it, whatever it holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.index import encode_index, is_plain_name, parse_index, shard_name

NAMES = [
    "../model.safetensors",
    "..",
    ".",
    "",
    "/etc/passwd",
    "/model.safetensors",
    "a/model.safetensors",
    "./model.safetensors",
    "a\\model.safetensors",
    "..\\model.safetensors",
    "C:\\model.safetensors",
    "C:model.safetensors",
    "\\\\host\\share\\model.safetensors",
    "model.safetensors\0",
    "mo\0del.safetensors",
    "mo\ndel.safetensors",
    "file:///etc/model.safetensors",
    "config.json",
    "pytorch_model.bin",
    "model.pkl",
    None,
    1,
    [],
    {},
    True,
    ["model.safetensors"],
]

DOCUMENTS = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b'{"weight_map":{}}',
    b'{"weight_map":[]}',
    b'{"weight_map":null}',
    b'{"weight_map":"model.safetensors"}',
    b'{"weight_map":{"a":"m.safetensors","a":"n.safetensors"}}',
    b'{"weight_map":{"a":"m.safetensors"},"weight_map":{"a":"m.safetensors"}}',
    b'{"weight_map":{"\\ud800":"m.safetensors"}}',
    b'{"metadata":{"total_size":NaN},"weight_map":{"a":"m.safetensors"}}',
    b"\xff\xfe",
    b'{"weight_map":' * 100_000,
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_name_of_a_shard(name):
    with pytest.raises(CheckpointError, match=r"^index\.json: weight_map\['w'\]"):
        parse_index(json.dumps({"weight_map": {"w": name}}).encode(), origin="index.json")


@pytest.mark.parametrize("raw", DOCUMENTS, ids=lambda raw: raw[:40].decode("latin-1"))
def test_document(raw):
    with pytest.raises(CheckpointError, match=r"^index\.json: "):
        parse_index(raw, origin="index.json")


def test_bin_index_names_bin_files_only():
    raw = b'{"weight_map":{"w":"pytorch_model-00001-of-00001.bin"}}'
    assert parse_index(raw, origin="index.json", suffix=".bin")
    with pytest.raises(CheckpointError, match=r"is not a \.safetensors file"):
        parse_index(raw, origin="index.json")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 99_999), min_size=1))
def test_what_was_encoded_is_parsed(shards):
    weight_map = {tensor: shard_name(number, 99_999) for tensor, number in shards.items()}
    text = encode_index(weight_map, total_size=1, total_parameters=2)
    assert parse_index(text.encode(), origin="index.json") == weight_map


@given(st.text())
def test_plain_names_stay_in_their_folder(name):
    if is_plain_name(name):
        assert not set(name) & set("/\\:\0")
        assert name not in {"", ".", ".."}
