"""Parts of an object, put together in memory from writes at any offset by several threads.

Parts lie on a fixed grid, so that any range of the file has its part numbers before a byte is
known, and whoever completes a part can send it off at once. So every byte is given once: written,
or left as zero; what was given can't be given again, since it may have been sent. Memory is
taken for parts that are begun and not complete: with blocks that come roughly in order, that is
about one for each thread. Rejected: parts in the order in which they get full, as a stream would
have them, since then the threads would have to wait for one another.
"""

import contextlib
import mmap
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from distexpand.errors import StorageError

LEAST_PART = 8 << 20
MOST_PARTS = 9000
"""Stores allow 10,000."""

_ROUND = 1 << 20
_HUGE_BYTES = 2 << 20


def part_size(size: int, *, least: int = LEAST_PART) -> int:
    """Return the bytes of a part of a file of `size` bytes, so that it hasn't too many."""
    needed = -(-size // MOST_PARTS)
    return max(least, -(-needed // _ROUND) * _ROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that is complete; `index` counts from 0. `body` is lent until the next part is asked for."""

    index: int
    body: memoryview


@dataclass(slots=True)
class _Begun:
    """A part that isn't complete: begin and end of what was given to it, and how many bytes have landed.

    Memory is taken from the system where bytes land, and nowhere else: often it is half of a part.
    """

    given: list[tuple[int, int]] = field(default_factory=list)
    landed: int = 0
    pages: memoryview | None = None


class PartGrid:
    """The parts of one file of `size` bytes; one without bytes if it is empty."""

    def __init__(self, size: int, part_bytes: int) -> None:
        self.size = size
        self.part_bytes = part_bytes
        self.count = max(1, -(-size // part_bytes))
        self._zeros = memoryview(b"")
        self._lock = threading.Lock()
        self._begun: dict[int, _Begun] = {}
        self._gone = bytearray(self.count)

    def length(self, index: int) -> int:
        """Return the bytes of a part."""
        return min(self.part_bytes, self.size - index * self.part_bytes)

    def write(self, offset: int, buffer: memoryview) -> Iterator[Part]:
        """Yield the parts that are complete with these bytes, each to be used up before the next.

        Raises:
            StorageError: some were given before, or lie outside.
        """
        for index, begin, end in self._cut(offset, len(buffer)):
            start = index * self.part_bytes
            piece = buffer[start + begin - offset : start + end - offset]
            if len(piece) == self.length(index):
                self._give_whole(index)
                yield Part(index=index, body=piece)
                continue
            pages = self._claim(index, begin, end, data=True)
            assert pages is not None
            pages[begin:end] = piece
            yield from self._landed(index, end - begin)

    def leave_zero(self, offset: int, length: int) -> Iterator[Part]:
        """Yield the parts that are complete now that a range is known to be zero.

        Parts that were taken whole are left alone.

        Raises:
            StorageError: some bytes were given before, or lie outside.
        """
        for index, begin, end in self._cut(offset, length):
            if self._gone[index] != _TAKEN:
                self._claim(index, begin, end, data=False)
                yield from self._landed(index, end - begin)

    def take_whole(self, first: int, stop: int) -> bool:
        """Take parts that nothing was given to, so that they are never yielded; all of them or none."""
        with self._lock:
            if any(self._gone[first:stop]) or any(index in self._begun for index in range(first, stop)):
                return False
            self._gone[first:stop] = bytes([_TAKEN]) * (stop - first)
            return True

    def put_back(self, first: int, stop: int) -> None:
        """Undo `take_whole`."""
        with self._lock:
            self._gone[first:stop] = bytes(stop - first)

    def rest(self) -> Iterator[Part]:
        """Yield the parts that aren't complete, zero where nothing was given; no thread may give more."""
        for index in range(self.count):
            if not self._gone[index]:
                self._begun.setdefault(index, _Begun())
                yield from self._complete(index)

    def close(self) -> None:
        """Let go of the memory."""
        with self._lock:
            self._begun.clear()

    @property
    def held_bytes(self) -> int:
        """The memory of parts that aren't complete."""
        with self._lock:
            begun = [part for part in self._begun.values() if part.pages is not None]
            return sum(end - begin for part in begun for begin, end in part.given)

    def _cut(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Yield part, and begin and end in it, of each part that a range touches."""
        if offset < 0 or offset + length > self.size:
            raise StorageError(f"bytes {offset} to {offset + length} of a file of {self.size}")
        end = offset + length
        while offset < end:
            index, begin = divmod(offset, self.part_bytes)
            taken = min(self.part_bytes - begin, end - offset)
            yield index, begin, begin + taken
            offset += taken

    def _claim(self, index: int, begin: int, end: int, *, data: bool) -> memoryview | None:
        """Take note that a range of a part is given, and return the part's memory if it is for data."""
        with self._lock:
            begun = self._begun.setdefault(index, _Begun()) if not self._gone[index] else None
            if begun is None or not _insert(begun.given, begin, end):
                raise self._given_twice(index, begin, end)
            if data and begun.pages is None:
                begun.pages = _fresh_pages(self.length(index))
            return begun.pages

    def _given_twice(self, index: int, begin: int, end: int) -> StorageError:
        start = index * self.part_bytes
        return StorageError(f"bytes {start + begin} to {start + end} were given before and can't be replaced")

    def _landed(self, index: int, length: int) -> Iterator[Part]:
        with self._lock:
            begun = self._begun[index]
            begun.landed += length
            if begun.landed < self.length(index):
                return
        yield from self._complete(index)

    def _give_whole(self, index: int) -> None:
        """Take note that a part is given at once."""
        with self._lock:
            if self._gone[index] or index in self._begun:
                raise self._given_twice(index, 0, self.length(index))
            self._gone[index] = _SENT

    def _complete(self, index: int) -> Iterator[Part]:
        with self._lock:
            begun = self._begun.pop(index)
            self._gone[index] = _SENT
        if begun.pages is None:
            yield Part(index=index, body=self._zero_bytes(self.length(index)))
            return
        yield Part(index=index, body=begun.pages)

    def _zero_bytes(self, length: int) -> memoryview:
        """Return zeros, the same ones for all parts."""
        zeros = self._zeros
        if len(zeros) < length:
            zeros = self._zeros = memoryview(bytes(length))
        return zeros[:length]


_SENT, _TAKEN = 1, 2


def _fresh_pages(length: int) -> memoryview:
    """Return memory that reads as zero, on huge pages where the system has them.

    On small ones taking it costs as much as sending it does.
    """
    area = mmap.mmap(-1, -(-length // _HUGE_BYTES) * _HUGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            area.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(area)[:length]


def _insert(ranges: list[tuple[int, int]], begin: int, end: int) -> bool:
    """Add a range to others in order, joined with its neighbours; say if it met none of them."""
    place = bisect_right(ranges, (begin, begin))
    before = ranges[place - 1] if place else (0, 0)
    after = ranges[place] if place < len(ranges) else (end, end)
    if (place and before[1] > begin) or after[0] < end:
        return False
    start = place
    stop = place
    if place and before[1] == begin:
        begin, start = before[0], place - 1
    if place < len(ranges) and after[0] == end:
        end, stop = after[1], place + 1
    ranges[start:stop] = [(begin, end)]
    return True
