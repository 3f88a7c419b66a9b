"""Pins: a short digest by which a source file is recognised again.

For safetensors the header is enough to notice another model, another layout or
a truncated copy, and reading it costs nothing; a `.bin` file is pinned by its
pickle, a side file by all of its bytes. Weights changed in place under the
same header are found by `verify`, not here.
"""

import hashlib
import io
import zipfile

from distexpand.errors import CheckpointError
from distexpand.formats.header import LENGTH_BYTES, header_size
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
        prefix = read_range(reader, 0, min(LENGTH_BYTES, reader.size))
        size = header_size(prefix, file_size=reader.size, origin=_origin(store, path))
        return read_range(reader, 0, size), reader.size
    finally:
        reader.close()


def pickle_bytes(store: SourceStore, path: str) -> bytes:
    """Return the pickle inside a `.bin` file of torch's zip format.

    Raises:
        CheckpointError: the file isn't such a zip archive.
    """
    reader = store.open(path)
    try:
        with zipfile.ZipFile(_File(reader)) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return archive.read(name)
    except (zipfile.BadZipFile, StopIteration, NotImplementedError):
        raise CheckpointError(
            f"{_origin(store, path)}: not a checkpoint in torch's zip format",
            hint="Convert it to safetensors first (load and save it with transformers).",
        ) from None
    finally:
        reader.close()


def compute_pin(store: SourceStore, path: str) -> str:
    """Return a source file's pin.

    Raises:
        CheckpointError: the file isn't of the kind that its name says.
        StorageError: it can't be read.
    """
    if path.endswith(".safetensors"):
        return digest(read_header(store, path)[0])
    if path.endswith(".bin"):
        return digest(pickle_bytes(store, path))
    return digest(read_whole(store, path))


def digest(raw: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def _origin(store: SourceStore, path: str) -> str:
    return f"{store.location}/{path}"


class _File(io.RawIOBase):
    """A range reader as a seekable file, for the standard library's zip reader."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._reader.size - self._position)
        length = left if size < 0 else min(size, left)
        raw = read_range(self._reader, self._position, length)
        self._position += length
        return raw
