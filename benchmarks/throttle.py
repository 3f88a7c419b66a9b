"""Storage behind a link of a stated rate: readers and attempts that wait their turn.

A bucket is a point in time shared by processes: whoever takes bytes moves it
on and sleeps until it is reached. Taken 64 KiB at a time, so that what is
under way at once shares the rate like connections on a link.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, Self

from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.ranges import Attempt, RangeReader

_SLICE = 1 << 16


@dataclass(frozen=True, slots=True)
class Bucket:
    """`rate` bytes a second; `free_at` is when all taken so far has passed (seconds, system-wide clock)."""

    rate: float
    free_at: Any

    @classmethod
    def of(cls, rate: float, context: BaseContext) -> Self:
        """Return a bucket that the context's processes share."""
        return cls(rate, context.Value("d", 0.0))

    def reserve(self, count: int) -> float:
        """Take bytes and return when they have passed."""
        with self.free_at.get_lock():
            self.free_at.value = max(self.free_at.value, time.monotonic()) + count / self.rate
            passed: float = self.free_at.value
        return passed


def take(buckets: Sequence[Bucket], count: int) -> None:
    """Wait until so many bytes have passed every bucket."""
    for start in range(0, count, _SLICE):
        passed = max(bucket.reserve(min(_SLICE, count - start)) for bucket in buckets)
        time.sleep(max(passed - time.monotonic(), 0))


class ThrottledReader:
    """A source file behind buckets."""

    def __init__(self, reader: RangeReader, buckets: Sequence[Bucket]) -> None:
        self._reader = reader
        self._buckets = buckets
        self.size, self.is_sparse, self.version = reader.size, reader.is_sparse, reader.version
        self.alignment = reader.alignment

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read once the bytes have passed."""
        take(self._buckets, len(buffer))
        self._reader.read_into(offset, buffer)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ask the file."""
        return self._reader.data_ranges(offset, length)

    def check_unchanged(self) -> None:
        """Ask the file."""
        self._reader.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class ThrottledAttempt:
    """An attempt behind buckets."""

    def __init__(self, attempt: Attempt, buckets: Sequence[Bucket]) -> None:
        self._attempt = attempt
        self._buckets = buckets
        self.name = attempt.name

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write once the bytes have passed."""
        take(self._buckets, len(buffer))
        self._attempt.write(offset, buffer)

    def share(self, source: object, source_offset: int, offset: int, length: int) -> tuple[int, int]:
        """Share nothing: over such a link there is nothing to share."""
        del source, source_offset, length
        return offset, offset

    def reserve(self, offset: int, length: int) -> None:
        """Ask the attempt."""
        self._attempt.reserve(offset, length)

    def leave_zero(self, offset: int, length: int) -> None:
        """Tell the attempt: nothing passes."""
        self._attempt.leave_zero(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read back without waiting: it is the header alone."""
        self._attempt.read_into(offset, buffer)

    def finish(self) -> None:
        """Sync the attempt."""
        self._attempt.finish()

    def close(self) -> None:
        """Close the attempt."""
        self._attempt.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._attempt.__exit__(*exception)


class ThrottledOutput:
    """An output directory behind buckets."""

    def __init__(self, output: LocalOutput, buckets: Sequence[Bucket]) -> None:
        self._output = output
        self._buckets = buckets
        self.location = output.location

    def begin(self, final_name: str, size: int) -> ThrottledAttempt:
        """Begin an attempt."""
        return ThrottledAttempt(self._output.begin(final_name, size), self._buckets)
