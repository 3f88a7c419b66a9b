"""Seek tables: what was encoded is parsed, and whatever else ends a file is an error that names it."""

from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.packed_frames import MOST_FRAME_BYTES, FrameTable
from distexpand.formats.seek_table import (
    FOOTER,
    encode_seek_table,
    padding,
    parse_seek_table,
    seek_table_bytes,
)

ORIGIN = "model.safetensors.zst"
entries = st.tuples(
    st.integers(0, 2**31), st.integers(0, MOST_FRAME_BYTES), st.binary(min_size=4, max_size=4)
)
tables = st.lists(entries, max_size=20)


def parsed(raw, file_size):
    length = seek_table_bytes(raw[-FOOTER.size :], file_size=file_size, origin=ORIGIN)
    return parse_seek_table(raw[-length:], file_size=file_size, container=3, origin=ORIGIN)


@given(tables)
def test_what_was_encoded_is_parsed(table):
    raw = encode_seek_table(table)
    frames = parsed(raw, len(raw) + sum(packed for packed, *_ in table))
    assert [(frame.packed_length, frame.length, frame.digest) for frame in frames] == [
        e for e in table if e[1]
    ]
    offset = position = 0
    found = iter(frames)
    for packed, length, _ in table:
        if length:
            frame = next(found)
            assert (frame.offset, frame.packed_offset, frame.container) == (offset, position, 3)
        offset, position = offset + length, position + packed


def test_tables_without_checksums_are_read():
    """The format's other kind, 8 bytes for each frame."""
    entries = (5).to_bytes(4, "little") + (7).to_bytes(4, "little")
    footer = FOOTER.pack(1, 0, 0x8F92EAB1)
    raw = b"\x5e\x2a\x4d\x18" + (len(entries) + len(footer)).to_bytes(4, "little") + entries + footer
    assert [(f.packed_length, f.length) for f in parsed(raw, len(raw) + 5)] == [(5, 7)]


@given(tables, st.data())
def test_a_damaged_table_is_an_error_or_of_the_same_size(table, data):
    raw = bytearray(encode_seek_table(table))
    size = len(raw) + sum(packed for packed, *_ in table)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(CheckpointError):
        for frame in parsed(bytes(raw), size):
            assert frame.packed_offset + frame.packed_length <= size


@given(st.binary(max_size=100), st.integers(0, 200))
def test_any_bytes_are_a_table_or_an_error(raw, file_size):
    with pytest.raises(CheckpointError, match=ORIGIN):
        parsed(raw, file_size)


@given(st.integers(8, 9000))
def test_padding_is_skipped_by_any_decoder(length):
    raw = padding(length)
    assert len(raw) == length
    frame = zstandard.ZstdCompressor().compress(b"after")
    reader = zstandard.ZstdDecompressor().stream_reader(raw + frame + raw, read_across_frames=True)
    assert reader.read() == b"after"


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(0, 400), st.integers(0, 400))
def test_a_range_is_found_in_its_frames(lengths, offset, length):
    raw = encode_seek_table([(1, length, b"sum!") for length in lengths])
    table = FrameTable(parsed(raw, len(raw) + len(lengths)))
    offset = min(offset, table.size)
    length = min(length, table.size - offset)
    touched = list(table.touched(offset, length))
    assert touched == [
        frame
        for frame in table.frames
        if length and frame.offset < offset + length and offset < frame.offset + frame.length
    ]
