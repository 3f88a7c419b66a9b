"""Whatever bytes a shard begins with, the answer is a header or a CheckpointError that names the file."""

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import CheckpointError
from distexpand.formats.header import MAX_HEADER_BYTES
from tests.formats.headers import file_of, file_with, metadata, parse_file, tensor_lists, valid_file

U8 = b'"dtype":"U8"'


def tensor(shape=b"[4]", offsets=b"[0,4]", dtype=U8, name=b"weight"):
    return b'"%b":{%b,"shape":%b,"data_offsets":%b}' % (name, dtype, shape, offsets)


def one(**changes):
    return b"{" + tensor(**changes) + b"}"


LENGTHS = {
    "empty file": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "length zero": b"\0\0\0\0\0\0\0\0",
    "length zero, then data": b"\0\0\0\0\0\0\0\0{}",
    "one beyond the file": b"\x03\0\0\0\0\0\0\0{}",
    "2**63": b"\0\0\0\0\0\0\0\x80{}",
    "2**64 - 1": b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
    "over the limit": (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}",
    "a pickle": b"PK\x03\x04\0\0\0\0",
    "an HTML page": b"<!doctype html><html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n",
}

TEXTS = {
    "no JSON": b"\0\0",
    "a list": b"[]",
    "a space first": b" {}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "cut off": b'{"weight":',
    "two documents": b"{}{}",
    "not UTF-8": b'{"\xff":1}',
    "UTF-16": '{"a":1}'.encode("utf-16-le"),
    "half a character": b'{"__metadata__":{"\\ud800":"x"}}',
    "half a character in a value": b'{"__metadata__":{"x":"\\uDFFF"}}',
    "control character": b'{"__metadata__":{"a\x00":"b"}}',
    "metadata is a list": b'{"__metadata__":[]}',
    "metadata is text": b'{"__metadata__":"pt"}',
    "metadata of numbers": b'{"__metadata__":{"format":1}}',
    "metadata of null": b'{"__metadata__":{"format":null}}',
    "metadata nested": b'{"__metadata__":{"format":{}}}',
    "metadata twice": b'{"__metadata__":{},"__metadata__":{}}',
    "deep list": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep object": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
}

TENSORS = {
    "a number": b'{"weight":1}',
    "null": b'{"weight":null}',
    "a list": b'{"weight":[]}',
    "empty": b'{"weight":{}}',
    "another key": b'{"weight":{%b,"shape":[4],"data_offsets":[0,4],"device":"cpu"}}' % U8,
    "no shape": b'{"weight":{%b,"data_offsets":[0,4]}}' % U8,
    "twice": b"{%b,%b}" % (tensor(), tensor()),
    "dtype twice": one(dtype=U8 + b"," + U8),
    "dtype unknown": one(dtype=b'"dtype":"F7"'),
    "dtype in small letters": one(dtype=b'"dtype":"u8"'),
    "dtype a number": one(dtype=b'"dtype":8'),
    "dtype a list": one(dtype=b'"dtype":["U8"]'),
    "dtype an object": one(dtype=b'"dtype":{}'),
    "dtype NaN": one(dtype=b'"dtype":NaN'),
    "dtype null": one(dtype=b'"dtype":null'),
    "shape null": one(shape=b"null"),
    "shape text": one(shape=b'"4"'),
    "shape of text": one(shape=b'["4"]'),
    "shape negative": one(shape=b"[-4]"),
    "shape negative twice": one(shape=b"[-2,-2]"),
    "shape float": one(shape=b"[4.0]"),
    "shape bool": one(shape=b"[true]", offsets=b"[0,1]"),
    "shape nested": one(shape=b"[[4]]"),
    "shape NaN": one(shape=b"[NaN]"),
    "shape Infinity": one(shape=b"[Infinity]"),
    "shape overflows to zero": one(shape=b"[4611686018427387904,4611686018427387904]", offsets=b"[0,0]"),
    "shape overflows to four": one(shape=b"[9223372036854775809,4]"),
    "shape overflows before a zero": one(shape=b"[4611686018427387904,8,0]", offsets=b"[0,0]"),
    "shape of huge numbers": one(shape=b"[" + b",".join([b"9" * 4000] * 2000) + b"]"),
    "shape of many numbers": one(shape=b"[" + b",".join([b"9"] * 100_000) + b"]"),
    "too many digits": one(shape=b"[" + b"9" * 10_000 + b"]"),
    "offsets float": one(offsets=b"[0,4.0]"),
    "offsets exponent": one(offsets=b"[0,4e0]"),
    "offsets bool": one(shape=b"[1]", offsets=b"[false,true]"),
    "offsets text": one(offsets=b'["0","4"]'),
    "offsets negative": one(offsets=b"[-4,0]"),
    "offsets reversed": one(offsets=b"[4,0]"),
    "offsets one": one(offsets=b"[0]"),
    "offsets three": one(offsets=b"[0,4,4]"),
    "offsets null": one(offsets=b"null"),
    "offsets huge": one(offsets=b"[0,18446744073709551620]"),
    "offsets of many digits": one(offsets=b"[0," + b"9" * 5000 + b"]"),
    "offsets too long": one(offsets=b"[0,5]"),
    "offsets too short": one(offsets=b"[0,3]"),
    "beyond the file": one(shape=b"[5]", offsets=b"[0,5]"),
    "gap at the start": one(shape=b"[3]", offsets=b"[1,4]"),
    "gap": b"{%b,%b}" % (tensor(b"[1]", b"[0,1]", name=b"a"), tensor(b"[2]", b"[2,4]")),
    "overlap": b"{%b,%b}" % (tensor(b"[3]", b"[0,3]", name=b"a"), tensor(b"[2]", b"[2,4]")),
    "same range": b"{%b,%b}" % (tensor(name=b"a"), tensor()),
    "empty one inside another": b"{%b,%b}" % (tensor(name=b"a"), tensor(b"[0]", b"[2,2]")),
    "half a byte": one(dtype=b'"dtype":"F4"', shape=b"[7]"),
    "six bits": one(dtype=b'"dtype":"F6_E2M3"', shape=b"[5]"),
}


def refused(raw):
    with pytest.raises(CheckpointError) as error:
        parse_file(raw)
    assert error.value.message.startswith("shard.safetensors: ")
    assert len(error.value.message) < 1000
    assert error.value.message.isprintable()
    return error.value.message


@pytest.mark.parametrize("raw", LENGTHS.values(), ids=LENGTHS)
def test_length(raw):
    refused(raw)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text(text):
    refused(file_of(text))


@pytest.mark.parametrize("text", TENSORS.values(), ids=TENSORS)
def test_tensor(text):
    message = refused(file_of(text, b"1234"))
    assert "'weight'" in message or "not valid JSON" in message


@pytest.mark.parametrize("text", [one(), b"{}"])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_cut_off_or_longer_file(text, change):
    data = b"1234" if text != b"{}" else b""
    parse_file(file_of(text, data))
    refused((file_of(text, data) + b"x" * 1000)[: len(file_of(text, data)) + change])


def test_null_metadata_and_spaces_behind_are_fine_as_in_safetensors():
    for text in (b'{"__metadata__":null}   ', b"{}", one(shape=b"[]", offsets=b"[0,1]") + b"\n\t "):
        raw = file_of(text, b"x" if b"weight" in text else b"")
        safetensors.deserialize(raw)
        parse_file(raw)


def test_names_of_strangers_are_shown_escaped_and_cut():
    name = "\x1b[2J" + "x" * 100_000
    message = refused(file_with({name: {"dtype": "U8", "shape": [1], "data_offsets": [0, 2]}}, b"12"))
    assert "\\x1b[2J" in message


@settings(max_examples=300)
@given(tensor_lists(), metadata, st.data())
def test_changed_bytes_of_a_valid_file(tensors, values, data):
    raw = bytearray(valid_file(tensors, values))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        insert = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"}", b"0", b"-", b"[", b"NaN", b"\\u"])
        )
        raw[position : position + data.draw(st.integers(0, 3))] = insert
        raw = raw or bytearray(b"x")
    only_checkpoint_errors(bytes(raw))


@settings(max_examples=300)
@given(tensor_lists(), metadata, st.data())
def test_changed_text_of_a_valid_header(tensors, values, data):
    """As above, with the length kept true, so that damage reaches the checks behind it."""
    raw = valid_file(tensors, values)
    size = 8 + int.from_bytes(raw[:8], "little")
    text = bytearray(raw[8:size])
    position = data.draw(st.integers(0, len(text) - 1))
    text[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    only_checkpoint_errors(file_of(bytes(text), raw[size:]))


@given(st.binary(max_size=64))
def test_any_bytes(raw):
    only_checkpoint_errors(raw)
    only_checkpoint_errors(file_of(b"{" + raw))


def only_checkpoint_errors(raw):
    try:
        header = parse_file(raw)
    except CheckpointError as error:
        assert error.message.startswith("shard.safetensors: ")  # noqa: PT017  # either way is right
        return
    covered = header.size
    for tensor in sorted(header.tensors.values(), key=lambda t: (t.offset, t.length)):
        assert tensor.offset == covered
        covered += tensor.length
    assert covered == len(raw)
    safetensors.deserialize(raw)  # nothing is let through that the reference refuses
