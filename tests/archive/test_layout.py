"""Frames cover a file once, begin with tensors, and are the same for equal layers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.archive.layout import cut_file
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.storage.memory import BytesReader
from tests.formats.headers import data_bytes, tensor_lists, valid_file
from tests.support.archives import FRAME_BYTES, small_frames


def cuts_of(raw, name="model.safetensors"):
    with small_frames():
        return list(cut_file(BytesReader(raw), name))


def model(*layers):
    """Return a file of layers, each as names with rows, in BF16."""
    tensors = [
        (f"model.layers.{number}.{name}", DType.BF16, (rows, 8))
        for number, layer in enumerate(layers)
        for name, rows in layer.items()
    ]
    return encode_header(tensors, {}, alignment=512) + bytes(data_bytes(tensors))


@given(st.binary(max_size=9000), st.sampled_from(["a.safetensors", "a.bin", "a.pt", "a.gguf", "a"]))
def test_any_file_is_covered_once(raw, name):
    check_covered(cuts_of(raw, name), len(raw))


@given(tensor_lists())
def test_any_shard_is_covered_once_and_cut_where_tensors_are(tensors):
    raw = valid_file(tensors, {})
    cuts = cuts_of(raw)
    check_covered(cuts, len(raw))
    size = int.from_bytes(raw[:8], "little") + 8
    begins = {t.offset for t in parse_header(raw[:size], file_size=len(raw), origin="x").tensors.values()}
    assert {cut.offset for cut in cuts if cut.offset >= size} <= begins


def check_covered(cuts, size):
    assert sum(cut.length for cut in cuts) == size
    assert all(0 < cut.length <= FRAME_BYTES for cut in cuts)
    assert all(first.offset + first.length == then.offset for first, then in pairwise(cuts))
    assert not cuts or cuts[0].offset == 0


def test_small_neighbours_of_a_layer_share_a_frame_and_large_tensors_have_their_own():
    raw = model({"norm": 1, "norm2": 2, "bias": 3, "big": 300, "last": 2}, {"norm": 1, "big": 40})
    start = int.from_bytes(raw[:8], "little") + 8
    lengths = [cut.length for cut in cuts_of(raw) if cut.offset >= start]
    assert lengths == [16 * 6, FRAME_BYTES, FRAME_BYTES, 4800 - 2 * FRAME_BYTES, 32, 16 * 41]


@given(
    st.lists(
        st.sampled_from([{"a": 3, "b": 140, "c": 2}, {"a": 50, "b": 1}, {"x": 1}]), min_size=2, max_size=6
    )
)
def test_equal_layers_are_cut_alike_whatever_stands_beside_them(layers):
    raw = model(*layers)
    found = {}
    start = int.from_bytes(raw[:8], "little") + 8
    position, cuts = start, [cut for cut in cuts_of(raw) if cut.offset >= start]
    for layer in layers:
        end = position + sum(layer.values()) * 16
        own = [(cut.offset - position, cut.length) for cut in cuts if position <= cut.offset < end]
        assert own == found.setdefault(str(layer), own)
        position = end


@pytest.mark.parametrize("dtype", DType)
def test_planes_are_tried_for_elements_of_two_and_four_bytes(dtype):
    raw = encode_header([("w", dtype, (8, 8))], {}) + bytes(8 * dtype.bits)
    tried = cuts_of(raw)[-1].widths.tried
    assert tried == {16: (2,), 32: (4,)}.get(dtype.bits, ())
