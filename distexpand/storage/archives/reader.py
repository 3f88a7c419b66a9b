"""A file of an archive as an open source: ranges of the original, decompressed frame by frame.

A frame that a range needs a part of is kept for the range beside it, so that it
is read and decompressed once. Frames that are needed whole are read together
where they lie together, decompressed, and forgotten.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from distexpand.errors import CheckpointError, StorageError
from distexpand.formats.packed_frames import FRAME_BYTES, FrameTable, PackedFrame
from distexpand.storage.archives.byte_planes import Bytes
from distexpand.storage.archives.frame_cache import FrameCache
from distexpand.storage.archives.frame_decoding import decode_frame
from distexpand.storage.ranges import RangeReader, SourceStore

_GAP_BYTES = 64 * 1024
"""Between two frames: rather read than asked past."""

DAMAGED = "The archive is damaged or incomplete; fetch or make it again."


class Containers:
    """An archive's packed files, open for as long as a reader needs them, each once."""

    def __init__(self, inner: SourceStore, names: Sequence[str], sizes: Sequence[int]) -> None:
        """Say what the containers are by their numbers; none is opened yet."""
        self._inner = inner
        self._names = names
        self._sizes = sizes
        self._open: dict[int, tuple[RangeReader, int]] = {}
        self._lock = threading.Lock()

    def take(self, number: int) -> RangeReader:
        """Return an open container, which stays open until it is given back.

        Raises:
            CheckpointError: it isn't of its size.
            StorageError: it can't be opened.
        """
        with self._lock:
            reader, users = self._open.get(number) or (self._opened(number), 0)
            self._open[number] = reader, users + 1
            return reader

    def give_back(self, number: int) -> None:
        """Close a container if nobody else needs it."""
        with self._lock:
            reader, users = self._open.pop(number)
            if users > 1:
                self._open[number] = reader, users - 1
                return
        reader.close()

    def _opened(self, number: int) -> RangeReader:
        reader = self._inner.open(self._names[number])
        if reader.size != self._sizes[number]:
            reader.close()
            raise CheckpointError(
                f"{self._inner.location}/{self._names[number]}: has {reader.size} bytes, "
                f"the archive says {self._sizes[number]}",
                hint=DAMAGED,
            )
        return reader


class ArchiveReader:
    """An open file of an archive; safe to read from several threads at once."""

    alignment = 1
    is_sparse = False

    def __init__(
        self, number: int, table: FrameTable, containers: Containers, cache: FrameCache, *, origin: str
    ) -> None:
        """Open container `number`; `origin` is what the file is called in an error."""
        self.size = table.size
        self._table = table
        self._containers = containers
        self._cache = cache
        self._origin = origin
        self._key = object()
        self._lock = threading.Lock()
        self._taken: dict[int, RangeReader] = {}
        self.version = self._container(number).version

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        end = offset + len(buffer)
        if offset < 0 or end > self.size:
            raise StorageError(f"{self._origin}: bytes {offset} to {end} of a file of {self.size}")
        whole: list[PackedFrame] = []
        for frame in self._table.touched(offset, len(buffer)):
            if offset <= frame.offset and _end(frame) <= end:
                whole.append(frame)
                continue
            raw = self._cache.get((self._key, frame.offset), partial(self._read, frame))
            start, stop = max(offset, frame.offset), min(end, _end(frame))
            buffer[start - offset : stop - offset] = raw[start - frame.offset : stop - frame.offset]
        for frames in _neighbours(whole):
            packed, begin = self._packed(frames), frames[0].packed_offset
            for frame in frames:
                raw = self._decoded(frame, packed[frame.packed_offset - begin :])
                buffer[frame.offset - offset : _end(frame) - offset] = raw

    def _read(self, frame: PackedFrame) -> Bytes:
        return self._decoded(frame, self._packed([frame]))

    def _packed(self, frames: Sequence[PackedFrame]) -> memoryview:
        """Return what lies in a container from the first frame to the end of the last."""
        begin, last = frames[0].packed_offset, frames[-1]
        packed = memoryview(bytearray(last.packed_offset + last.packed_length - begin))
        self._container(last.container).read_into(begin, packed)
        return packed

    def _decoded(self, frame: PackedFrame, packed: memoryview) -> Bytes:
        try:
            return decode_frame(frame, packed[: frame.packed_length])
        except ValueError as error:
            raise StorageError(
                f"{self._origin}: the frame of bytes {frame.offset} to {_end(frame)}: {error}", hint=DAMAGED
            ) from None

    def _container(self, number: int) -> RangeReader:
        with self._lock:
            if number not in self._taken:
                self._taken[number] = self._containers.take(number)
            return self._taken[number]

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield the range: nothing is known of holes."""
        yield offset, length

    def check_unchanged(self) -> None:
        """Check the containers that were read from."""
        for reader in list(self._taken.values()):
            reader.check_unchanged()

    def close(self) -> None:
        """Give the containers back."""
        self._cache.drop(self._key)
        with self._lock:
            for number in self._taken:
                self._containers.give_back(number)
            self._taken.clear()


def _neighbours(frames: Iterable[PackedFrame]) -> Iterator[list[PackedFrame]]:
    """Yield frames in order, those together that are worth one reading."""
    together: list[PackedFrame] = []
    for frame in frames:
        if together and not _is_beside(together, frame):
            yield together
            together = []
        together.append(frame)
    if together:
        yield together


def _is_beside(frames: Sequence[PackedFrame], frame: PackedFrame) -> bool:
    end = frames[-1].packed_offset + frames[-1].packed_length
    length = frame.packed_offset + frame.packed_length - frames[0].packed_offset
    return (
        frame.container == frames[-1].container
        and 0 <= frame.packed_offset - end <= _GAP_BYTES
        and length <= FRAME_BYTES
    )


def _end(frame: PackedFrame) -> int:
    return frame.offset + frame.length
