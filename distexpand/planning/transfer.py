"""What a plan moves: the bytes that its sources are read for, in its own layout and in the other one.

Counted as the engine reads (`engine.readings`): a source range once for all that
is made of it by shards that are worked on together, and again for every other
such group. Headers of sources, which a plan doesn't know, aren't counted.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from distexpand.formats.dtypes import DType
from distexpand.formats.header import LENGTH_BYTES
from distexpand.planning.by_source import Ranges, source_groups
from distexpand.planning.layout import Layout
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Operation, SourceRange, Zero, source_terms
from distexpand.planning.pack import layer_groups
from distexpand.planning.tensors import OutputTensor

Together = Callable[[Sequence[ShardPlan]], Sequence[Sequence[ShardPlan]]]
"""Gives shards in the groups in which they are worked on together, in order."""

_LAYER = re.compile(r"(\D*)(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutReads:
    """Bytes read from sources in one layout.

    `together` with shards worked on together as was asked about, `apart` with each for
    itself: on a cluster, and to an output elsewhere.
    """

    layout: Layout
    together: int
    apart: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The bytes that a plan moves.

    `needed` counts each source byte that the output is made of once; `planned` is what the
    plan reads of them, `other` what it would read in the other layout. `side_files` are read
    and written as they are. `written` are the shards, of which `zeros` need no write where a
    file can have holes.
    """

    needed: int
    planned: LayoutReads
    other: LayoutReads
    side_files: int
    written: int
    zeros: int


def transfer(plan: Plan, together: Together) -> Transfer:
    """Return what a plan moves.

    A plan knows neither its layout nor its shard size: the first is told from its shards, and
    the largest of them stands for the second. Layers, where they are the other layout, are
    taken to be in the order of the first number in their tensors' names, and the tensors of
    each in that of their sources.
    """
    parts = _Parts([part for shard in plan.shards for part in shard.operations])
    # A tensor alone in its shard may be larger than shards were meant to be.
    several = [shard for shard in plan.shards if len(shard.operations) > 1]
    shard_size = max((shard.size - len(shard.header) for shard in several), default=1)
    planned = list(_runs(plan.shards))
    by_source = list(source_groups(parts.ranges, parts.lengths, shard_size))
    layout, other, groups = Layout.LAYERS, Layout.BY_SOURCE, by_source
    if len(planned) > 1 and list(map(sorted, by_source)) == list(map(list, planned)):
        layout, other, groups = other, layout, list(_layer_groups(plan.shards, shard_size))
    return Transfer(
        needed=_covered(sorted(parts.distinct)),
        planned=parts.reads(layout, planned, together),
        other=parts.reads(other, groups, together),
        side_files=sum(plan.sources[file.source].size for file in plan.copies),
        written=sum(shard.size for shard in plan.shards),
        zeros=sum(part.length for part in parts.operations if isinstance(part, Zero)),
    )


@dataclass(slots=True)
class _Parts:
    """All operations of a plan, in order, and what each reads; shards are groups of their positions."""

    operations: Sequence[Operation]
    ranges: list[Ranges] = field(init=False)
    lengths: list[int] = field(init=False)
    distinct: set[SourceRange] = field(init=False)

    def __post_init__(self) -> None:
        self.ranges = [source_terms(operation) for operation in self.operations]
        self.lengths = [operation.length for operation in self.operations]
        self.distinct = {part for own in self.ranges for part in own}

    def reads(self, layout: Layout, groups: Sequence[Sequence[int]], together: Together) -> LayoutReads:
        """Return what is read where these are the shards."""
        apart = sum(map(self._bytes, groups))
        least = sum(length for _, _, length in self.distinct)
        if apart == least:
            return LayoutReads(layout=layout, together=least, apart=least)
        shards = [self._shard(group) for group in groups]
        own = {id(shard): group for shard, group in zip(shards, groups, strict=True)}
        found = sum(
            self._bytes([position for shard in shared for position in own[id(shard)]])
            for shared in together(shards)
        )
        return LayoutReads(layout=layout, together=found, apart=apart)

    def _bytes(self, group: Iterable[int]) -> int:
        """Return the bytes of the distinct ranges that some operations read."""
        return sum(length for _, _, length in {part for number in group for part in self.ranges[number]})

    def _shard(self, group: Sequence[int]) -> ShardPlan:
        """Return a shard without a header, of which only what it reads is asked."""
        operations = tuple(self.operations[number] for number in group)
        size = sum(self.lengths[number] for number in group)
        return ShardPlan(name="", header=b"", size=size, operations=operations)


def _runs(shards: Iterable[ShardPlan]) -> Iterator[range]:
    """Yield the positions of each shard's operations among all."""
    start = 0
    for shard in shards:
        yield range(start, start + len(shard.operations))
        start += len(shard.operations)


def _layer_groups(shards: Sequence[ShardPlan], shard_size: int) -> Iterator[list[int]]:
    """Yield the positions of the operations of each shard that the layers would lie in."""
    tensors = [tensor for shard in shards for tensor in _tensors(shard)]
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    for group in layer_groups(sorted(tensors, key=_layer_order), shard_size):
        yield [positions[id(tensor)] for tensor in group]


def _tensors(shard: ShardPlan) -> Iterator[OutputTensor]:
    """Yield what a shard is made of in order, every operation as a tensor."""
    entries = json.loads(shard.header[LENGTH_BYTES:])  # a plan's headers were checked, which takes far longer
    entries.pop("__metadata__", None)
    tensors = iter(sorted(entries.items(), key=lambda item: item[1]["data_offsets"]))
    name, dtype, end = "", DType.U8, len(shard.header)
    for operation in shard.operations:
        while operation.offset >= end:
            name, entry = next(tensors)
            dtype, end = DType(entry["dtype"]), len(shard.header) + entry["data_offsets"][1]
        yield OutputTensor(name=name, dtype=dtype, shape=(), operation=operation)


def _layer_order(tensor: OutputTensor) -> tuple[str, int, Ranges]:
    """Return what sorts layer 10 behind layer 9, and in a layer as `planning.resolve` does."""
    layer = _LAYER.match(tensor.name)
    ranges = source_terms(tensor.operation)
    return (layer[1], int(layer[2]), ranges) if layer else (tensor.name, 0, ranges)


def _covered(reads: Sequence[SourceRange]) -> int:
    """Return how many distinct bytes the sorted ranges cover."""
    covered, file, end = 0, -1, 0
    for source, offset, length in reads:
        if source != file:
            file, end = source, 0
        covered += max(offset + length - max(offset, end), 0)
        end = max(end, offset + length)
    return covered
