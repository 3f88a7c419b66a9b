"""A reader written from docs/archive-format.md alone restores what was packed: the document is true."""

import hashlib
import json
import struct

import pytest
import xxhash
import zstandard

from distexpand.formats.archive_index import Form
from tests.api.small import small_model, tree
from tests.storage.contract import noise
from tests.support.archives import packed, small_frames, written


def read_archive(folder):
    raw = (folder / "distexpand-archive.json").read_bytes()
    document = json.loads(raw)
    assert raw == json.dumps(document, indent=1).encode() + b"\n"
    digest = document.pop("archive_digest")
    assert hashlib.sha256(json.dumps(document, indent=1).encode() + b"\n").hexdigest() == digest
    assert (document["format_version"], document["digest_algorithm"]) == (1, "xxh3-128")
    assert [file["name"] for file in document["files"]] == sorted(file["name"] for file in document["files"])
    suffix = {"plain": ".zst", "dense": ".dense.zst"}[document["form"]]
    places = [folder / (file["name"] + suffix * bool(file["index_digest"])) for file in document["files"]]
    restored = {}
    for file, place in zip(document["files"], places, strict=True):
        packed_bytes = place.read_bytes()
        assert len(packed_bytes) == file["packed_size"]
        if not file["index_digest"]:
            whole = packed_bytes
        elif document["form"] == "plain":
            whole = read_plain(packed_bytes, file)
        else:
            whole = read_dense(packed_bytes, file, places)
        assert (len(whole), xxhash.xxh3_128_hexdigest(whole)) == (file["size"], file["digest"])
        restored[file["name"]] = whole
    return restored


def read_plain(packed_bytes, file):
    count, flags, magic = struct.unpack("<IBI", packed_bytes[-9:])
    assert (flags, magic) == (0x80, 0x8F92EAB1)
    index = packed_bytes[-(8 + 12 * count + 9) :]
    assert xxhash.xxh3_128_hexdigest(index) == file["index_digest"]
    assert struct.unpack("<II", index[:8]) == (0x184D2A5E, len(index) - 8)
    position, whole = 0, b""
    for length, size, checksum in struct.iter_unpack("<II4s", index[8:-9]):
        frame = packed_bytes[position : position + length]
        if size:
            assert frame[-4:] == checksum
            whole += decompressed(frame, size)
        else:
            assert struct.unpack("<II", frame[:8]) == (0x184D2A50, length - 8)
            assert (position + length) % 4096 == 0
        position += length
    assert position + len(index) == len(packed_bytes)
    return whole


def read_dense(packed_bytes, file, places):
    length, count, version, nothing, magic = struct.unpack("<IIHH8s", packed_bytes[-20:])
    assert (version, nothing, magic) == (1, 0, b"dxdense\n")
    index = packed_bytes[-(8 + length + 20) :]
    assert xxhash.xxh3_128_hexdigest(index) == file["index_digest"]
    assert struct.unpack("<II", index[:8]) == (0x184D2A5D, len(index) - 8)
    entries = decompressed(index[8:-20], 48 * count)
    whole = b""
    for digest, begin, size, number, *parts in struct.iter_unpack("<16sQII4I", entries):
        container, planes, position = places[number].read_bytes(), [], begin
        width = sum(part > 0 for part in parts)
        for part in parts[:width]:
            planes.append(decompressed(container[position : position + part], size // width))
            position += part
        raw = planes[0] if width == 1 else joined(planes)
        assert xxhash.xxh3_128_digest(raw) == digest
        whole += raw
    return whole


def decompressed(frame, size):
    parameters = zstandard.get_frame_parameters(frame)
    assert (parameters.content_size, parameters.has_checksum, parameters.dict_id) == (size, True, 0)
    return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)


def joined(planes):
    bits = 8 * len(planes)
    raw = b""
    for highest_first in zip(*planes, strict=True):
        rotated = int.from_bytes(bytes(highest_first))
        raw += (rotated >> 1 | (rotated & 1) << (bits - 1)).to_bytes(len(planes), "little")
    return raw


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_a_reader_made_from_the_document_restores_everything(tmp_path, form, dtype):
    model = small_model(tmp_path / "model", dtype=dtype)
    twice = min(model.glob("*.safetensors")).read_bytes()
    written(model, {"again.safetensors": twice, "noise.bin": noise(5000), "empty.zst": b""})
    with small_frames():
        packed(model, tmp_path / "archive", form)
    assert read_archive(tmp_path / "archive") == tree(model)
