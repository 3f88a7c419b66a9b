"""Parts of an upload that S3 copies from another object: of these bytes nothing passes this machine.

Whole parts only, as many neighbours in one as stores allow and as is quick; a part's number is that
of the first that it stands for, as numbers may have gaps. Where the store doesn't copy, the bytes
are read and sent as ever; the upload then stays as was told, so that the caller needn't know.
"""

from collections.abc import Iterator

from distexpand.errors import StorageError
from distexpand.pauses import thread_pool
from distexpand.storage.objects.part_grid import PartGrid
from distexpand.storage.objects.reader import ObjectReader
from distexpand.storage.ranges import RangeReader
from distexpand.storage.s3.made import Found, MadeCopies
from distexpand.storage.s3.uploads import S3Uploads, Upload

_COPIED_AT_ONCE = 8
_COPY_BYTES = 256 << 20
"""Of one copy; stores allow 5 GB, but several smaller ones at once are quicker."""


def find_object(source: RangeReader, offset: int, length: int, made: MadeCopies) -> Found | None:
    """Return where the store has a range of a source, or some of it: in itself, or in what was made."""
    stored = source.stored() if isinstance(source, ObjectReader) else None
    if stored is not None and stored.scheme == "s3":
        return Found(stored=stored, source_offset=offset, offset=offset, length=length)
    return made.find(source, offset, length)


def whole_parts(grid: PartGrid, offset: int, length: int) -> tuple[int, int]:
    """Return the first part that lies in a range, and the one behind the last."""
    end = offset + length
    stop = grid.count if end == grid.size else end // grid.part_bytes
    return -(-offset // grid.part_bytes), stop


class PartCopies:
    """Copies of a source's bytes to an upload, where they lie `shift` bytes further on."""

    def __init__(
        self, uploads: S3Uploads, upload: Upload, grid: PartGrid, reader: RangeReader, *, shift: int
    ) -> None:
        self._uploads = uploads
        self._upload = upload
        self._grid = grid
        self._reader = reader
        self._shift = shift

    def copy(self, found: Found, first: int, stop: int) -> bool:
        """Fill parts from an object that has their bytes; return whether the store copied them all.

        Raises:
            StorageError: it didn't, and reading or sending failed too.
        """
        runs = list(self._runs(first, stop))
        with thread_pool(min(len(runs), _COPIED_AT_ONCE)) as pool:
            return all(list(pool.map(lambda run: self._fill(found, *run), runs)))

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        step = max(1, _COPY_BYTES // self._grid.part_bytes)
        for start in range(first, stop, step):
            yield start, min(start + step, stop)

    def _fill(self, found: Found, first: int, stop: int) -> bool:
        begin, end = self._begin(first), min(self._begin(stop), self._grid.size)
        there = found.offset + begin - self._shift - found.source_offset
        try:
            self._uploads.copy_part(self._upload, first + 1, found.stored, there, end - begin)
        except StorageError:
            if not self._is_there(first + 1, end - begin):
                self._stream(first, stop)
                return False
        return True

    def _is_there(self, number: int, length: int) -> bool:
        """Whether a copy was made though its answer was lost."""
        return (self._uploads.parts(self._upload) or {}).get(number, (0, ""))[0] == length

    def _stream(self, first: int, stop: int) -> None:
        for index in range(first, stop):
            body = memoryview(bytearray(self._grid.length(index)))
            self._reader.read_into(self._begin(index) - self._shift, body)
            self._uploads.put_part(self._upload, index + 1, body)

    def _begin(self, index: int) -> int:
        return index * self._grid.part_bytes
