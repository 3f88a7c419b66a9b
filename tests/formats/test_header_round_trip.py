"""parse(encode(x)) = x, and the real safetensors library reads and writes the same format."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from distexpand.errors import CheckpointError
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, tensor_bytes
from tests.formats.headers import data_bytes, metadata, parse_file, tensor_lists, valid_file


@given(tensor_lists(), metadata, st.sampled_from([1, 2, 8, 64, 4096]))
def test_what_was_encoded_is_parsed(tensors, values, alignment):
    raw = encode_header(tensors, values, alignment=alignment)
    assert len(raw) % alignment == 0
    header = parse_file(raw + bytes(data_bytes(tensors)))
    assert header.size == len(raw)
    assert header.metadata == values
    assert [(name, t.dtype, t.shape) for name, t in header.tensors.items()] == tensors
    position = len(raw)
    for tensor in header.tensors.values():
        assert tensor.offset == position
        assert tensor.length == tensor_bytes(tensor.dtype, tensor.shape)
        position += tensor.length


@given(tensor_lists(), metadata)
def test_encoding_depends_on_nothing_else(tensors, values):
    assert encode_header(tensors, values) == encode_header(iter(tensors), dict(reversed(values.items())))


@given(tensor_lists(), metadata)
def test_safetensors_accepts_our_files(tensors, values):
    found = dict(safetensors.deserialize(valid_file(tensors, values)))
    assert {name: (t["dtype"], tuple(t["shape"])) for name, t in found.items()} == {
        name: (dtype.value, shape) for name, dtype, shape in tensors
    }


@given(tensor_lists())
def test_we_accept_and_refuse_exactly_what_safetensors_does_with_packed_dtypes(tensors):
    for name, dtype, shape in tensors:
        document = {name: {"dtype": dtype.value, "shape": [*shape, 3], "data_offsets": [0, 0]}}
        text = json.dumps(document).encode()
        raw = len(text).to_bytes(8, "little") + text
        try:
            safetensors.deserialize(raw)
        except safetensors.SafetensorError:
            with pytest.raises(CheckpointError):
                parse_file(raw)
        else:
            parse_file(raw)


def test_safe_open_reads_values_behind_our_header(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw = encode_header([("späť.ключ", DType.F32, (3, 4)), ("empty", DType.I8, (0, 7))], {"format": "pt"})
    (tmp_path / "ours.safetensors").write_bytes(raw + values.tobytes())
    with safe_open(tmp_path / "ours.safetensors", framework="numpy") as file:
        assert np.array_equal(file.get_tensor("späť.ключ"), values)
        assert file.get_tensor("empty").shape == (0, 7)
        assert file.metadata() == {"format": "pt"}


_NUMPY = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"]


@given(
    st.dictionaries(
        st.text("abc.ö", min_size=1),
        st.tuples(st.sampled_from(_NUMPY), st.lists(st.integers(0, 4), max_size=3)),
    )
)
def test_files_saved_by_safetensors_are_read(tensors):
    arrays = {name: np.full(shape, 1, dtype=kind) for name, (kind, shape) in tensors.items()}
    raw = safetensors.numpy.save(arrays, metadata={"format": "np"})
    header = parse_file(raw)
    assert header.metadata == {"format": "np"}
    assert header.tensors.keys() == arrays.keys()
    for name, tensor in header.tensors.items():
        assert tensor.shape == arrays[name].shape
        assert raw[tensor.offset : tensor.offset + tensor.length] == arrays[name].tobytes()


def test_every_dtype_that_safetensors_names_is_known():
    text = b'{"a":{"dtype":"NONE","shape":[],"data_offsets":[0,0]}}'
    with pytest.raises(safetensors.SafetensorError) as error:
        safetensors.deserialize(len(text).to_bytes(8, "little") + text)
    named = str(error.value).partition("expected one of ")[2].split("`")[1::2]
    assert sorted(named) == sorted(dtype.value for dtype in DType)
