"""Copies whose blocks the output shares with its source: nothing of them is read or written.

Only whole blocks can be shared, so the ragged ends of each run are copied as
ever. A tensor of which nothing was read has no digest.
"""

from collections.abc import Iterator, Sequence

from distexpand.engine.blocks import joined_copies, slice_operation
from distexpand.planning.operations import Copy, Operation, Zero
from distexpand.storage.ranges import Attempt, Readers

LEAST_SHARED = 1 << 16
"""A run shorter than this is copied: each shared one costs a record of its own in the file system."""

Ranges = tuple[tuple[int, int], ...]
"""Begin and end of each range, in order."""


def share_copies(
    operations: Sequence[Operation], attempt: Attempt, readers: Readers
) -> tuple[Sequence[Operation], Ranges]:
    """Share what can be shared; return what is left to do, in the same places, and the shared ranges.

    Raises:
        StorageError: there is no space.
    """
    left: list[Operation] = []
    shared: list[tuple[int, int]] = []
    for operation in joined_copies(operations):
        start = stop = operation.offset
        if isinstance(operation, Copy) and operation.length >= LEAST_SHARED:
            source = readers[operation.source]
            start, stop = attempt.share(source, operation.source_offset, operation.offset, operation.length)
        if start == stop:
            left.append(operation)
            continue
        shared.append((start, stop))
        left += _around(operation, start, stop)
    return (left, tuple(shared)) if shared else (operations, ())


def _around(operation: Operation, start: int, stop: int) -> Iterator[Operation]:
    """Yield an operation with a range of it left alone, as zeros are."""
    end = operation.offset + operation.length
    if operation.offset < start:
        yield slice_operation(operation, operation.offset, start - operation.offset)
    yield Zero(offset=start, length=stop - start)
    if stop < end:
        yield slice_operation(operation, stop, end - stop)
