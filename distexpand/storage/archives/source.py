"""An archive as a source: the checkpoint's own files, of which only what is asked for is decompressed.

It stands on any other store, so that an archive is read from wherever plain
files are. What the archive's files say has to agree with one another and with
their sizes before a byte of them is believed. There is one `ArchiveSource` for
all files of an archive: they share open containers and the cache.
"""

import threading
from collections.abc import Iterator, Mapping

import xxhash

from distexpand.errors import CheckpointError, StorageError
from distexpand.formats.archive_index import (
    ARCHIVE_NAME,
    ArchivedFile,
    ArchiveIndex,
    Form,
    decode_archive_index,
)
from distexpand.formats.dense_index import TRAILER, dense_index_bytes, parse_dense_index
from distexpand.formats.packed_frames import FRAME_BYTES, MOST_FRAME_BYTES, FrameTable, PackedFrame
from distexpand.formats.seek_table import FOOTER, parse_seek_table, seek_table_bytes
from distexpand.storage.archives.frame_cache import FrameCache
from distexpand.storage.archives.reader import DAMAGED, ArchiveReader, Containers
from distexpand.storage.memory import BytesReader
from distexpand.storage.ranges import RangeReader, SourceStore

CACHE_BYTES = 64 * 1024 * 1024
"""The frames that the blocks of a few threads begin and end in."""

_TAIL_BYTES = 64 * 1024
"""Read from a file's end at once: the index of most files."""


def is_archive(files: Mapping[str, int]) -> bool:
    """Whether a store's files are an archive's."""
    return ARCHIVE_NAME in files


class ArchiveSource:
    """The files that an archive was made of."""

    def __init__(self, inner: SourceStore) -> None:
        """Read the archive's own file from the store that holds the archive.

        Raises:
            CheckpointError: it is damaged or of another version.
            StorageError: it isn't there or can't be read.
        """
        self.location = inner.location
        self.index: ArchiveIndex = _read_index(inner)
        self._inner = inner
        self._numbers = {file.name: number for number, file in enumerate(self.index.files)}
        names = [self.index.packed_name(file) for file in self.index.files]
        self._containers = Containers(inner, names, [file.packed_size for file in self.index.files])
        self._tables: dict[int, FrameTable] = {}
        self._cache = FrameCache(CACHE_BYTES)
        self._lock = threading.Lock()

    def files(self) -> dict[str, int]:
        """Return every file of the checkpoint, with its size in bytes."""
        return {file.name: file.size for file in self.index.files}

    def open(self, path: str) -> RangeReader:
        """Open a file of the checkpoint.

        Raises:
            CheckpointError: what the archive holds of it is damaged.
            StorageError: it isn't there or can't be read.
        """
        number = self._numbers.get(path)
        if number is None:
            raise StorageError(f"{self.location}/{path}: not a file of the archive")
        if not self.index.files[number].is_packed:
            return self._whole(number)
        return ArchiveReader(
            number, self._table(number), self._containers, self._cache, origin=self._origin(number)
        )

    def frames(self, path: str) -> FrameTable:
        """Return where the frames of a packed file lie.

        Raises:
            CheckpointError: what the archive holds of the file is damaged.
        """
        return self._table(self._numbers[path])

    def whole_frames(self, path: str) -> Iterator[tuple[int, int]]:
        """Yield offset and length of parts that cover a file in order, each of whole frames.

        A part is at most as long as a frame may be.

        Raises:
            CheckpointError: what the archive holds of the file is damaged.
        """
        number = self._numbers[path]
        if not self.index.files[number].is_packed or not self.index.files[number].size:
            yield 0, self.index.files[number].size
            return
        begin = end = 0
        for frame in self._table(number).frames:
            if end > begin and frame.offset + frame.length - begin > FRAME_BYTES:
                yield begin, end - begin
                begin = end
            end = frame.offset + frame.length
        yield begin, end - begin

    def _whole(self, number: int) -> BytesReader:
        """Return a file that the archive holds as it is, which only small ones are."""
        file, container = self.index.files[number], self._containers.take(number)
        try:
            raw = _read(container, 0, min(container.size, MOST_FRAME_BYTES))
            if len(raw) != file.size or xxhash.xxh3_128_hexdigest(raw) != file.digest:
                raise CheckpointError(f"{self._origin(number)}: its digest differs", hint=DAMAGED)
            return BytesReader(raw, origin=self._origin(number), version=container.version)
        finally:
            self._containers.give_back(number)

    def _table(self, number: int) -> FrameTable:
        with self._lock:
            if number not in self._tables:
                self._tables[number] = self._read_table(number)
            return self._tables[number]

    def _read_table(self, number: int) -> FrameTable:
        file, origin = self.index.files[number], self._origin(number)
        container = self._containers.take(number)
        try:
            frames = _frames(container, number, file, self.index.form, origin)
        finally:
            self._containers.give_back(number)
        for frame in frames:
            self._check_place(frame, origin)
        table = FrameTable(frames)
        if table.size != file.size:
            raise CheckpointError(
                f"{origin}: holds {table.size} bytes, the archive says {file.size}", hint=DAMAGED
            )
        return table

    def _check_place(self, frame: PackedFrame, origin: str) -> None:
        files = self.index.files
        end = frame.packed_offset + frame.packed_length
        if not (frame.container < len(files) and end <= files[frame.container].packed_size):
            raise CheckpointError(
                f"{origin}: names a frame that lies in no file of the archive", hint=DAMAGED
            )

    def _origin(self, number: int) -> str:
        return f"{self.location}/{self.index.packed_name(self.index.files[number])}"


def _read_index(inner: SourceStore) -> ArchiveIndex:
    reader = inner.open(ARCHIVE_NAME)
    try:
        raw = _read(reader, 0, reader.size)
    finally:
        reader.close()
    return decode_archive_index(raw, origin=f"{inner.location}/{ARCHIVE_NAME}")


def _frames(
    container: RangeReader, number: int, file: ArchivedFile, form: Form, origin: str
) -> list[PackedFrame]:
    tail = _read(container, max(container.size - _TAIL_BYTES, 0), container.size)
    if form is Form.PLAIN:
        length = seek_table_bytes(tail[-FOOTER.size :], file_size=container.size, origin=origin)
    else:
        length = dense_index_bytes(tail[-TRAILER.size :], file_size=container.size, origin=origin)
    raw = tail[-length:] if length <= len(tail) else _read(container, container.size - length, container.size)
    if xxhash.xxh3_128_hexdigest(raw) != file.index_digest:
        raise CheckpointError(f"{origin}: isn't the file that the archive names", hint=DAMAGED)
    if form is Form.PLAIN:
        return parse_seek_table(raw, file_size=container.size, container=number, origin=origin)
    return parse_dense_index(raw, origin=origin)


def _read(reader: RangeReader, begin: int, end: int) -> bytes:
    buffer = bytearray(end - begin)
    reader.read_into(begin, memoryview(buffer))
    return bytes(buffer)
