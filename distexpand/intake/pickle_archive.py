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
from typing import TypeAlias

from distexpand.errors import CheckpointError
from distexpand.storage.ranges import RangeReader

MAX_PICKLE_BYTES = 200_000_000
"""Far beyond the pickle of a million tensors; against archives that would fill the memory."""

_LOCAL_HEADER_BYTES = 30
_NAME_LENGTHS = struct.Struct("<HH")
_NAME_LENGTHS_OFFSET = 26


BinaryFile: TypeAlias = io.RawIOBase | io.BytesIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of the archive: its data's offset in the file, and its bytes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PickleArchive:
    """The pickle, and the records by name."""

    pickle_name: str
    pickle: bytes
    records: Mapping[str, Record]


def read_archive(reader: RangeReader, *, origin: str) -> PickleArchive:
    """Read a `.bin` file's directory and pickle; no tensor is read.

    Raises:
        CheckpointError: not a checkpoint in torch's zip format, compressed, or big-endian.
    """
    file = _File(reader)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            _check_plain(archive, infos, origin)
            pickle = _pickle_info(infos)
            return PickleArchive(
                pickle_name=pickle.filename,
                pickle=archive.read(pickle),
                records=_records(file, reader.size, infos),
            )
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        LookupError,
        RuntimeError,
        ValueError,
        OverflowError,
    ):
        raise CheckpointError(
            f"{origin}: not a checkpoint in torch's zip format, or damaged",
            hint="Fetch the file again, or convert it to safetensors (load and save it with transformers).",
        ) from None


def empty_copy(archive: PickleArchive) -> tuple[io.BytesIO, dict[int, Record]]:
    """Return the archive with its pickle and every other record empty, and the true records by offset there.

    torch tells the offset of each storage in the file that it was given. In the empty copy
    this names the record and no more: torch may calculate offsets from the sizes of the
    storages, which in the true file is wrong once the archive was packed again.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as copy:
        folder = archive.pickle_name.removesuffix("data.pkl")
        copy.writestr(archive.pickle_name, archive.pickle)
        copy.writestr(f"{folder}version", b"3\n")
        for name in archive.records:
            if name.startswith(f"{folder}data/"):
                copy.writestr(name, b"")
        infos = copy.infolist()
    places = _records(file, len(file.getvalue()), infos)
    by_offset = {
        place.offset: archive.records[name] for name, place in places.items() if name in archive.records
    }
    file.seek(0)
    return file, by_offset


def _records(file: BinaryFile, size: int, infos: list[zipfile.ZipInfo]) -> dict[str, Record]:
    records = {
        info.filename: Record(offset=_data_start(file, size, info), length=info.file_size) for info in infos
    }
    if len(records) != len(infos):
        raise ValueError("a record occurs twice")
    return records


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


def _data_start(file: BinaryFile, size: int, info: zipfile.ZipInfo) -> int:
    if not 0 <= info.header_offset <= size - _LOCAL_HEADER_BYTES:
        raise ValueError("a record begins outside the file")
    file.seek(info.header_offset + _NAME_LENGTHS_OFFSET)
    lengths = _NAME_LENGTHS.unpack(file.read(_NAME_LENGTHS.size))
    start: int = info.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
    if start + info.file_size > size:
        raise ValueError("a record ends outside the file")
    return start


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
        buffer = bytearray(length)
        self._reader.read_into(self._position, memoryview(buffer))
        self._position += length
        return bytes(buffer)
