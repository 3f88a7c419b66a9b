"""Packing: give every output tensor a shard and an offset, as the Hub's conventions have it.

Tensors stay in their order, unless they are laid out by source
(`planning.by_source`); a shard is closed when the next tensor would take its data
beyond the shard size. Inside a shard wider elements come first, so that every
tensor starts at a multiple of its element's size. Headers are known before any
byte is written, so that a shard can be written in any order. How long a header
is decides whether the file system can share a source's blocks
(`planning.congruence`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from distexpand.errors import UsageError
from distexpand.formats.header import encode_header
from distexpand.formats.index import shard_name
from distexpand.planning.by_source import source_groups
from distexpand.planning.congruence import SHARED_BLOCK, congruent_runs, header_remainder
from distexpand.planning.layout import Layout
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Copy, Operation, source_terms
from distexpand.planning.tensors import OutputTensor

DEFAULT_SHARD_SIZE = 5_000_000_000
"""Bytes of tensor data; the Hub's usual 5 GB."""

_RUNS_PER_SHARD = 10
"""A run shorter than this part of a shard is copied rather than given a shard of its own."""


def pack(
    tensors: Iterable[OutputTensor],
    metadata: Mapping[str, str],
    *,
    shard_size: int,
    layout: Layout = Layout.LAYERS,
) -> tuple[ShardPlan, ...]:
    """Return the shards; a shard's data is at most `shard_size` bytes unless one tensor is larger.

    Raises:
        UsageError: the shard size isn't positive.
    """
    if shard_size <= 0:
        raise UsageError(f"shard size {shard_size} has to be positive", hint="Write it as 5GB or 500MB.")
    by_source = layout is Layout.BY_SOURCE
    groups = list((_source_groups if by_source else layer_groups)(tensors, shard_size))
    metadata = {"format": "pt", **metadata}
    return tuple(
        _shard(shard_name(position, len(groups)), group, metadata)
        for position, group in enumerate(groups, start=1)
    )


def layer_groups(tensors: Iterable[OutputTensor], shard_size: int) -> Iterator[list[OutputTensor]]:
    """Yield the tensors of each shard: those that fit, and no two long runs that can't both be congruent."""
    group: list[OutputTensor] = []
    size, long_run = 0, shard_size // _RUNS_PER_SHARD
    for run in congruent_runs(tensors):
        run_size = sum(tensor.operation.length for tensor in run)
        if group and min(size, run_size) > long_run:
            yield group
            group, size = [], 0
        for tensor in run:
            if group and size + tensor.operation.length > shard_size:
                yield group
                group, size = [], 0
            group.append(tensor)
            size += tensor.operation.length
    if group:
        yield group


def _source_groups(tensors: Iterable[OutputTensor], shard_size: int) -> Iterator[list[OutputTensor]]:
    tensors = list(tensors)
    operations = [tensor.operation for tensor in tensors]
    lengths = [operation.length for operation in operations]
    for group in source_groups([source_terms(part) for part in operations], lengths, shard_size):
        yield [tensors[position] for position in group]


def _shard(name: str, group: list[OutputTensor], metadata: Mapping[str, str]) -> ShardPlan:
    group = sorted(group, key=lambda tensor: -tensor.dtype.bits)
    tensors = ((t.name, t.dtype, t.shape) for t in group)
    header = encode_header(tensors, metadata, alignment=SHARED_BLOCK, remainder=header_remainder(group))
    operations = []
    offset = len(header)
    for tensor in group:
        if tensor.operation.length:
            operations.append(_placed(tensor.operation, offset))
        offset += tensor.operation.length
    return ShardPlan(name=name, header=header, size=offset, operations=tuple(operations))


def _placed(operation: Operation, offset: int) -> Operation:
    """Return an operation with its offset; `replace` takes as long as all else that is done with a tensor."""
    if isinstance(operation, Copy):
        return Copy(
            offset=offset,
            length=operation.length,
            source=operation.source,
            source_offset=operation.source_offset,
        )
    return replace(operation, offset=offset)
