"""torch's zip format from outside: the pickle, and where the archive's records lie.

A tensor's byte range is taken from the archive's directory as well as from the
pickle, because both come from a stranger and may disagree: a storage may claim
more bytes than its record has, and a record may be compressed, in which case
the bytes of the file aren't the tensor's.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from distexpand.errors import CheckpointError
from distexpand.storage.ranges import RangeReader

MAX_PICKLE_BYTES = 200_000_000
"""Far beyond the pickle of a million tensors; against archives that would fill the memory."""

_LOCAL_HEADER_BYTES = 30
_NAME_LENGTHS = struct.Struct("<HH")
_NAME_LENGTHS_OFFSET = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class PickleArchive:
    """The pickle, and the bytes of every stored record by the offset where its data begins."""

    pickle: bytes
    records: Mapping[int, int]


def read_archive(reader: RangeReader, *, origin: str) -> PickleArchive:
    """Read a `.bin` file's directory and pickle; no tensor is read.

    Raises:
        CheckpointError: not a checkpoint in torch's zip format, compressed, or big-endian.
    """
    try:
        with zipfile.ZipFile(_File(reader)) as archive:
            infos = archive.infolist()
            _check_plain(archive, infos, origin)
            pickle = archive.read(_pickle_info(infos))
            return PickleArchive(pickle=pickle, records={_data_start(reader, i): i.file_size for i in infos})
    except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, RuntimeError, ValueError, OverflowError):
        raise CheckpointError(
            f"{origin}: not a checkpoint in torch's zip format, or damaged",
            hint="Fetch the file again, or convert it to safetensors (load and save it with transformers).",
        ) from None


def _pickle_info(infos: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    found = [info for info in infos if info.filename.endswith("/data.pkl")]
    if len(found) != 1 or found[0].file_size > MAX_PICKLE_BYTES:
        raise ValueError("no pickle, several, or an absurd one")
    return found[0]


def _check_plain(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], origin: str) -> None:
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise CheckpointError(
            f"{origin}: the archive is compressed, so its tensors can't be copied by ranges",
            hint="Load and save the checkpoint with transformers.",
        )
    for info in infos:
        if info.filename.endswith("/byteorder") and archive.read(info) != b"little":
            raise CheckpointError(
                f"{origin}: the tensors are stored in a byte order other than little-endian"
            )


def _data_start(reader: RangeReader, info: zipfile.ZipInfo) -> int:
    offset = info.header_offset
    if not 0 <= offset <= reader.size - _LOCAL_HEADER_BYTES:
        raise ValueError("a record begins outside the file")
    lengths = _read(reader, offset + _NAME_LENGTHS_OFFSET, _NAME_LENGTHS.size)
    start: int = offset + _LOCAL_HEADER_BYTES + sum(_NAME_LENGTHS.unpack(lengths))
    if start + info.file_size > reader.size:
        raise ValueError("a record ends outside the file")
    return start


def _read(reader: RangeReader, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    reader.read_into(offset, memoryview(buffer))
    return bytes(buffer)


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
        raw = _read(self._reader, self._position, length)
        self._position += length
        return raw
