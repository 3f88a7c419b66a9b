"""Pins: a short digest by which a source file is recognised again.

For safetensors the header is enough to notice another model, another layout or
a truncated copy, and reading it costs nothing; a `.bin` file is pinned by its
pickle, a side file by all of its bytes. Weights changed in place under the
same header are found by `verify`, not here.
"""

import hashlib

from distexpand.formats.header import LENGTH_BYTES, header_size
from distexpand.intake.pickle_archive import read_archive
from distexpand.storage.ranges import RangeReader, SourceStore


def read_range(reader: RangeReader, offset: int, length: int) -> bytes:
    """Return a range of a file as bytes."""
    buffer = bytearray(length)
    reader.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def read_whole(store: SourceStore, path: str) -> bytes:
    """Return a small file's bytes."""
    reader = store.open(path)
    try:
        return read_range(reader, 0, reader.size)
    finally:
        reader.close()


def read_header(store: SourceStore, path: str) -> tuple[bytes, int]:
    """Return a safetensors file's header with its length prefix, and the file's size.

    Raises:
        CheckpointError: the file can't hold such a header.
    """
    reader = store.open(path)
    try:
        return _header(reader, _origin(store, path)), reader.size
    finally:
        reader.close()


def pin_of(reader: RangeReader, path: str, *, origin: str) -> str:
    """Return the pin of an open file, so that what is checked is what is read afterwards.

    Raises:
        CheckpointError: the file isn't of the kind that its name says.
        StorageError: it can't be read.
    """
    if path.endswith(".safetensors"):
        return digest(_header(reader, origin))
    if path.endswith(".bin"):
        return digest(read_archive(reader, origin=origin).pickle)
    return digest(read_range(reader, 0, reader.size))


def digest(raw: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def _header(reader: RangeReader, origin: str) -> bytes:
    prefix = read_range(reader, 0, min(LENGTH_BYTES, reader.size))
    return read_range(reader, 0, header_size(prefix, file_size=reader.size, origin=origin))


def _origin(store: SourceStore, path: str) -> str:
    return f"{store.location}/{path}"
