"""Source ranges that a thread keeps while it makes several blocks of them.

Only where the blocks of a reading make different bytes of the same range: what
is copied to several places as it is, is made once and needs nothing kept.
Memory is bounded: a range for which there is no room is read again.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from distexpand.engine.buffers import block_buffer
from distexpand.engine.readings import PlacedBlock, Reading, ranges_of
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.operations import SourceRange
from distexpand.storage.local.direct import LEAST_BYTES
from distexpand.storage.ranges import RangeReader, Readers

MOST_KEPT = 4 * PIECE_BYTES + (1 << 20)
"""Bytes that one thread keeps at most; a blend of two, of elements as wide as its own, keeps half of it.

Little more than four whole pieces, as ranges are kept with what fills up their pages.
"""


class KeptMemory:
    """One thread's memory for what is kept, used again from reading to reading."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._taken = 0

    def take(self, length: int) -> memoryview | None:
        """Return page-aligned memory of at least so many bytes, or nothing where there is no room."""
        for buffer in self._free:
            if len(buffer) >= length:
                self._free.remove(buffer)
                self._taken += len(buffer)
                return buffer
        if self._taken + length > MOST_KEPT:
            return None
        if self._taken + sum(map(len, self._free)) + length > MOST_KEPT:
            self._free.clear()  # all of them too short
        self._taken += length
        return block_buffer(length)

    def give_back(self, buffer: memoryview) -> None:
        """Take memory back."""
        self._taken -= len(buffer)
        self._free.append(buffer)


@dataclass(slots=True)
class _Kept:
    """A range, a large one in whole units of its reader's alignment; `held` is its bytes, once read."""

    begin: int
    end: int
    held: memoryview | None = None


class KeptReaders:
    """The readers for one reading: the first block that reads a range of several fetches it for all."""

    def __init__(self, readers: Readers, reading: Reading, memory: KeptMemory) -> None:
        self._readers = readers
        self._reading = reading
        self._memory = memory
        self._left = Counter(part for block in reading.blocks for part in self._kept_of(block))
        self._kept = {part: _whole_units(readers[part[0]], part) for part in reading.kept}
        self._own: dict[int, RangeReader] = {}

    def __getitem__(self, number: int) -> RangeReader:
        """Return the reader of a source."""
        if number not in self._own:
            reader = self._readers[number]
            kept = [kept for (source, _, _), kept in self._kept.items() if source == number]
            self._own[number] = _KeptReader(reader, kept, self._memory) if kept else reader
        return self._own[number]

    def made(self, block: PlacedBlock) -> None:
        """Forget what a block was the last to read."""
        for part in self._kept_of(block):
            self._left[part] -= 1
            if not self._left[part]:
                self._forget(self._kept[part])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for kept in self._kept.values():
            self._forget(kept)

    def _kept_of(self, block: PlacedBlock) -> frozenset[SourceRange]:
        return self._reading.kept.intersection(ranges_of(block.block.pieces))

    def _forget(self, kept: _Kept) -> None:
        if kept.held is not None:
            self._memory.give_back(kept.held)
            kept.held = None


class _KeptReader:
    """A reader that keeps some ranges as they come by, and answers from what it has."""

    def __init__(self, reader: RangeReader, kept: Sequence[_Kept], memory: KeptMemory) -> None:
        self._reader = reader
        self._memory = memory
        self._kept = sorted(kept, key=lambda part: (part.begin, part.end))
        self._begins = [part.begin for part in self._kept]
        self.size = reader.size
        self.is_sparse = reader.is_sparse
        self.alignment = reader.alignment
        self.version = reader.version

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        end = offset + len(buffer)
        for part in self._around(offset, end):
            if part.held is None and (part.begin, part.end) != (offset, end):
                self._hold(part)
            if part.held is not None:
                buffer[:] = part.held[offset - part.begin : end - part.begin]
                return
        self._reader.read_into(offset, buffer)
        for part in self._within(offset, end):
            if part.held is None and (room := self._memory.take(part.end - part.begin)) is not None:
                room[: part.end - part.begin] = buffer[part.begin - offset : part.end - offset]
                part.held = room

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield what the reader knows of holes."""
        return self._reader.data_ranges(offset, length)

    def check_unchanged(self) -> None:
        """Check the file."""
        self._reader.check_unchanged()

    def close(self) -> None:
        """Do nothing: the file goes on being read."""

    def _around(self, begin: int, end: int) -> Iterator[_Kept]:
        """Yield the ranges that hold all of a range: units overlap their neighbours by less than one."""
        last = bisect_right(self._begins, begin)
        for part in self._kept[max(last - 2, 0) : last]:
            if part.end >= end:
                yield part

    def _within(self, begin: int, end: int) -> Iterator[_Kept]:
        for part in self._kept[bisect_left(self._begins, begin) : bisect_left(self._begins, end)]:
            if part.end <= end:
                yield part

    def _hold(self, part: _Kept) -> None:
        """Read a range of which a part is wanted, if there is room for it."""
        room = self._memory.take(part.end - part.begin)
        if room is not None:
            self._reader.read_into(part.begin, room[: part.end - part.begin])
            part.held = room


def _whole_units(reader: RangeReader, part: SourceRange) -> _Kept:
    _, offset, length = part
    alignment = reader.alignment if length >= LEAST_BYTES else 1
    begin = offset // alignment * alignment
    end = -(-(offset + length) // alignment) * alignment
    return _Kept(begin=begin, end=max(offset + length, min(end, reader.size)))
