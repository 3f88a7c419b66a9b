"""The archive's own file: what was encoded is parsed, and no byte of it changes unnoticed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.archive_index import (
    ARCHIVE_NAME,
    ArchivedFile,
    ArchiveIndex,
    Form,
    decode_archive_index,
    encode_archive_index,
)

names = st.sampled_from(
    ["config.json", "model.safetensors", "folder/a.bin", "folder/b", "späť kľúč", "x.zst"]
)
files = st.builds(
    ArchivedFile,
    name=names,
    size=st.integers(0, 2**60),
    digest=st.text("0123456789abcdef", min_size=32, max_size=32),
    packed_size=st.integers(0, 2**60),
    index_digest=st.sampled_from(["", "0" * 32]),
)
indexes = st.builds(
    ArchiveIndex,
    form=st.sampled_from(Form),
    files=st.lists(files, max_size=5, unique_by=lambda file: file.name).map(tuple),
)


def entry(name="a", **changes):
    return ArchivedFile(
        **{"name": name, "size": 1, "digest": "d", "packed_size": 1, "index_digest": "", **changes}
    )


@given(indexes)
def test_what_was_encoded_is_parsed(index):
    assert decode_archive_index(encode_archive_index(index), origin=ARCHIVE_NAME) == index


@given(indexes, st.data())
def test_no_byte_changes_unnoticed(index, data):
    raw = bytearray(encode_archive_index(index))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CheckpointError, match=ARCHIVE_NAME):
        decode_archive_index(bytes(raw), origin=ARCHIVE_NAME)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error(raw):
    with pytest.raises(CheckpointError, match=ARCHIVE_NAME):
        decode_archive_index(raw, origin=ARCHIVE_NAME)


@pytest.mark.parametrize("field", ["form", "files", "digest_algorithm"])
def test_a_field_of_another_kind_is_an_error(field):
    document = json.loads(encode_archive_index(ArchiveIndex(form=Form.PLAIN, files=())))
    for value in (None, 1, "x", [1], {}):
        raw = json.dumps({**document, field: value}, indent=1).encode() + b"\n"
        with pytest.raises(CheckpointError, match=ARCHIVE_NAME):
            decode_archive_index(raw, origin=ARCHIVE_NAME)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../a")],
        [entry("/a")],
        [entry("a//b")],
        [entry("c:a")],
        [entry(""), entry("a")],
        [entry("a"), entry("a")],
        [entry("a"), entry("a/b")],
        [entry("a", index_digest="x"), entry("a.zst")],
        [entry("a", index_digest="x"), entry("a.zst/b")],
        [entry(ARCHIVE_NAME)],
        [entry(f"{ARCHIVE_NAME}/a")],
        [entry(size=-1)],
        [entry(packed_size=-1)],
    ],
)
def test_files_that_can_not_lie_there_are_an_error(entries):
    raw = encode_archive_index(ArchiveIndex(form=Form.PLAIN, files=tuple(entries)))
    with pytest.raises(CheckpointError, match=ARCHIVE_NAME):
        decode_archive_index(raw, origin=ARCHIVE_NAME)
