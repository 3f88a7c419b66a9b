"""The index of a dense container: what was encoded is parsed, and a damaged one is an error."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.dense_index import TRAILER, dense_index_bytes, encode_dense_index, parse_dense_index
from distexpand.formats.packed_frames import MOST_FRAME_BYTES, PackedFrame

ORIGIN = "model.safetensors.dense.zst"
frames = st.builds(
    PackedFrame,
    st.just(0),
    st.integers(1, MOST_FRAME_BYTES),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4).map(tuple),
    st.binary(min_size=16, max_size=16),
)


def parsed(raw):
    length = dense_index_bytes(raw[-TRAILER.size :], file_size=len(raw), origin=ORIGIN)
    return parse_dense_index(raw[-length:], origin=ORIGIN)


@given(st.lists(frames, max_size=20))
def test_what_was_encoded_is_parsed(entries):
    found = parsed(b"frames before" + encode_dense_index(entries))
    assert [frame._replace(offset=0) for frame in found] == entries
    assert [frame.offset for frame in found] == [
        sum(entry.length for entry in entries[:number]) for number in range(len(entries))
    ]


@given(st.lists(frames, max_size=8), st.data())
def test_a_damaged_index_is_an_error(entries, data):
    raw = bytearray(encode_dense_index(entries))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(CheckpointError):
        # Two bytes of the trailer say nothing, and some bits of a zstd frame's head don't either.
        assert [frame._replace(offset=0) for frame in parsed(bytes(raw))] == entries


@given(st.binary(max_size=100))
def test_any_bytes_are_an_error(raw):
    with pytest.raises(CheckpointError, match=ORIGIN):
        parsed(raw)


def test_an_index_that_would_fill_the_memory_is_an_error():
    raw = bytearray(encode_dense_index([]))
    raw[-16:-12] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(CheckpointError, match="as many frames"):
        parsed(bytes(raw))


def test_another_version_is_said():
    raw = bytearray(encode_dense_index([]))
    raw[-12] = 9
    with pytest.raises(CheckpointError, match="version 9, expected 1"):
        parsed(bytes(raw))
