"""Gather parts of rows: what stands beside the stack and holds a part for every layer.

A part can be as small as a few hundred bytes and its row occur a million
times, so rows that are small are read many at a time and cut in memory. Of
large rows only the parts that are wanted are read.
"""

from collections.abc import Iterator

from distexpand.planning.operations import Gather
from distexpand.storage.ranges import Readers

_SMALL_ROW = 1 << 18
_READ_BYTES = 1 << 21
"""Bytes of small rows read at a time; bounds the memory."""


def fill_gather(operation: Gather, readers: Readers, target: memoryview) -> None:
    """Fill `target`, which has the operation's length, with its output."""
    reader = readers[operation.source]
    base = operation.source_offset
    done = 0
    if operation.row > _SMALL_ROW:
        for start, length in _segments(operation):
            reader.read_into(base + start, target[done : done + length])
            done += length
        return
    buffer = memoryview(bytearray(_READ_BYTES - _READ_BYTES % operation.row))
    held, end = 0, 0
    last = -(-(operation.skipped + operation.length) // operation.result_row) * operation.row
    for start, length in _segments(operation):
        if start >= end or start < held:
            held = start - start % operation.row
            end = min(held + len(buffer), last)
            reader.read_into(base + held, buffer[: end - held])
        target[done : done + length] = buffer[start - held : start - held + length]
        done += length


def _segments(operation: Gather) -> Iterator[tuple[int, int]]:
    """Yield the ranges of the source, counted from its offset, that make the output one after the other."""
    runs = _runs(operation)
    row, skipped = divmod(operation.skipped, operation.result_row)
    left = operation.length
    while left:
        for start, length in runs:
            if skipped >= length:
                skipped -= length
                continue
            taken = min(length - skipped, left)
            if not taken:
                return
            yield row * operation.row + start + skipped, taken
            left -= taken
            skipped = 0
        row += 1


def _runs(operation: Gather) -> list[tuple[int, int]]:
    """Return a row's ranges, parts that continue one another in one."""
    runs: list[tuple[int, int]] = []
    for number in operation.parts:
        start = number * operation.part
        if runs and sum(runs[-1]) == start:
            runs[-1] = (runs[-1][0], runs[-1][1] + operation.part)
        else:
            runs.append((start, operation.part))
    return runs
