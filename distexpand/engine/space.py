"""What a plan will take: disk blocks, and memory of the process that runs it."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import replace

from distexpand.engine.blocks import joined_copies
from distexpand.engine.cloning import LEAST_SHARED
from distexpand.engine.kept import MOST_KEPT
from distexpand.engine.transforms import needs_torch
from distexpand.formats.dtypes import DType
from distexpand.planning.congruence import SHARED_BLOCK
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import AddLowRank, Copy, Operation, SourceRange, Zero, source_terms
from distexpand.storage.ranges import RangeReader

_PROCESS_BYTES = 70_000_000
"""Interpreter and this package, measured."""

_TORCH_BYTES = 260_000_000
"""What importing torch adds, measured with its CPU build."""

_TRANSFORM_BYTES_PER_THREAD = 24_000_000
_PLAN_BYTES_PER_OPERATION = 1_500


def disk_bytes(
    shards: Sequence[ShardPlan], readers: Sequence[RangeReader], *, shared: Collection[int] = ()
) -> int:
    """Return the bytes that shards will occupy; zeros and holes of sparse sources take none.

    Args:
        shards: what will be written.
        readers: the plan's sources.
        shared: numbers of the sources whose blocks the output can share, which takes none either.
    """
    data = _DataRanges(readers)
    return sum(_shard_bytes(shard, readers, data, shared) for shard in shards)


def small_file_bytes(plan: Plan) -> int:
    """Return the bytes of the files beside the shards: side files and texts."""
    copied = sum(plan.sources[file.source].size for file in plan.copies)
    return copied + sum(len(text.text.encode()) for text in plan.texts)


def peak_memory_bytes(plan: Plan, *, threads: int) -> int:
    """Return the expected peak of resident memory of a local run."""
    operations = sum(len(shard.operations) for shard in plan.shards)
    own = process_memory_bytes(threads=threads, transforms=needs_torch(plan))
    return own + operations * _PLAN_BYTES_PER_OPERATION + threads * (_held_bytes(plan) + _kept_bytes(plan))


def process_memory_bytes(*, threads: int, transforms: bool) -> int:
    """Return the expected peak of resident memory of a process that executes shards, the plan left out."""
    base = _PROCESS_BYTES + threads * PIECE_BYTES
    if transforms:
        return base + _TORCH_BYTES + threads * _TRANSFORM_BYTES_PER_THREAD
    return base


def _held_bytes(plan: Plan) -> int:
    """Return the bytes of the largest thin matrix that a thread holds whole, as read and in float64."""
    return max(
        (
            operation.rank * operation.columns * (operation.right.dtype.bits + DType.F64.bits) // 8
            for shard in plan.shards
            for operation in shard.operations
            if isinstance(operation, AddLowRank)
        ),
        default=0,
    )


def _kept_bytes(plan: Plan) -> int:
    """Return the most bytes of sources that a thread keeps, since it makes different things of them."""
    if not needs_torch(plan):
        return 0
    operations = [operation for shard in plan.shards for operation in shard.operations if operation.length]
    first: dict[SourceRange, Operation] = {}
    several: set[SourceRange] = set()
    for operation in operations:
        for part in source_terms(operation):
            if not _is_same(first.setdefault(part, operation), operation):
                several.add(part)
    kept = (
        sum(_piece_bytes(part, operation) for part in source_terms(operation) if part in several)
        for operation in operations
    )
    return min(max(kept, default=0), MOST_KEPT)


def _is_same(first: Operation, then: Operation) -> bool:
    """Whether operations of the same range make the same bytes."""
    if isinstance(first, Copy) or isinstance(then, Copy):
        return type(first) is type(then)
    return replace(first, offset=then.offset) == then


def _piece_bytes(part: SourceRange, operation: Operation) -> int:
    """Return the bytes of a range that a piece of what an operation makes is made of."""
    return -(-part[2] * min(PIECE_BYTES, operation.length) // operation.length)


def _shard_bytes(
    shard: ShardPlan, readers: Sequence[RangeReader], data: "_DataRanges", shared: Collection[int]
) -> int:
    total = len(shard.header)
    for operation in joined_copies(shard.operations) if shared else shard.operations:
        if not isinstance(operation, Copy):
            total += 0 if isinstance(operation, Zero) else operation.length
        elif operation.source in shared and _is_shareable(operation):
            total += min(operation.length, 2 * SHARED_BLOCK)
        elif readers[operation.source].is_sparse:
            total += data.bytes_within(operation.source, operation.source_offset, operation.length)
        else:
            total += operation.length
    return total


def _is_shareable(operation: Copy) -> bool:
    shift = operation.offset - operation.source_offset
    return operation.length >= LEAST_SHARED and shift % SHARED_BLOCK == 0


class _DataRanges:
    """Where sources hold data, asked once for each: a model may have hundreds of thousands of tensors."""

    def __init__(self, readers: Sequence[RangeReader]) -> None:
        self._readers = readers
        self._known: dict[int, list[tuple[int, int]]] = {}

    def bytes_within(self, source: int, offset: int, length: int) -> int:
        """Return how many bytes of a source's range aren't in a hole."""
        if source not in self._known:
            reader = self._readers[source]
            self._known[source] = [
                (start, start + size) for start, size in reader.data_ranges(0, reader.size)
            ]
        ranges, end, total = self._known[source], offset + length, 0
        for index in range(max(bisect_right(ranges, (offset, end)) - 1, 0), len(ranges)):
            start, stop = ranges[index]
            if start >= end:
                break
            total += max(min(stop, end) - max(start, offset), 0)
        return total
