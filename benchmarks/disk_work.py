"""What a plan makes a disk do: the ranges that are read and the bytes that are written.

There are two readings of "the same bytes". Each operation reads its range, so that a layer
which is used twice is read twice; or each byte of a source is read once and kept for all its
uses. Tensors of zeros are neither read nor written. Neighbouring ranges are one read.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.disk_limit import DiskWork, Read, Write
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Zero, source_terms

Range = tuple[int, int, int]
"""Number of a source, first byte, and the byte after the last."""


def disk_work(plan: Plan, output: Path, *, once: bool) -> DiskWork:
    """Return the work of a plan whose shards are written into a directory."""
    ranges = sorted(_ranges(plan)) if once else _ranges(plan)
    places = dict(plan.locations)
    paths = [str(Path(places[source.model]) / source.path) for source in plan.sources]
    return DiskWork(
        reads=tuple(
            Read(path=paths[source], offset=begin, length=end - begin)
            for source, begin, end in joined(ranges, once=once)
        ),
        writes=tuple(
            Write(path=str(output / shard.name), size=shard.size, data=_data(shard)) for shard in plan.shards
        ),
    )


def _ranges(plan: Plan) -> Iterator[Range]:
    for shard in plan.shards:
        for operation in shard.operations:
            for source, offset, length in source_terms(operation):
                yield source, offset, offset + length


def joined(ranges: Iterable[Range], *, once: bool) -> list[Range]:
    """Join each range to the one before it where it goes on there.

    With `once`, which needs sorted ranges, bytes that were in an earlier range are left out.
    """
    found: list[Range] = []
    for source, begin, end in ranges:
        last, first, reached = found[-1] if found else (-1, 0, 0)
        if last == source and (begin <= reached if once else begin == reached):
            found[-1] = (source, first, max(reached, end))
        else:
            found.append((source, begin, end))
    return found


def _data(shard: ShardPlan) -> int:
    return shard.size - sum(part.length for part in shard.operations if isinstance(part, Zero))
