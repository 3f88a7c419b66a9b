"""What every tensor of a checkpoint is made of, be it on disk or only planned.

A checkpoint on disk is the plan whose every tensor is a copy. So whatever runs
a model runs a recipe's as well, before a byte of it is written.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distexpand.formats.catalog import Catalog
from distexpand.formats.dtypes import DType
from distexpand.planning.check import shard_header
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Copy, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A tensor and the operations that make it; their offsets count from the tensor's first byte.

    Two that are equal hold the same values.
    """

    dtype: DType
    shape: tuple[int, ...]
    length: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """All tensors of a checkpoint by name; `files` are (location, path) of the source files by number."""

    tensors: Mapping[str, Made]
    files: tuple[tuple[str, str], ...]

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(math.prod(made.shape) for made in self.tensors.values())


def planned_weights(plan: Plan) -> Weights:
    """Return the weights that a run of the plan would write."""
    locations = dict(plan.locations)
    tensors: dict[str, Made] = {}
    for shard in plan.shards:
        tensors |= _shard_tensors(shard)
    return Weights(
        tensors=tensors,
        files=tuple((locations[source.model], source.path) for source in plan.sources),
    )


def _shard_tensors(shard: ShardPlan) -> dict[str, Made]:
    header = shard_header(shard)
    waiting = list(shard.operations)[::-1]
    tensors = {}
    for name in header.in_order():
        entry = header.tensors[name]
        end = entry.offset + entry.length
        making: list[Operation] = []
        while waiting and waiting[-1].offset < end:
            operation = waiting.pop()
            making.append(replace(operation, offset=operation.offset - entry.offset))
        tensors[name] = Made(
            dtype=entry.dtype, shape=entry.shape, length=entry.length, operations=tuple(making)
        )
    return tensors


def stored_weights(catalog: Catalog, location: str) -> Weights:
    """Return the weights of a checkpoint that lies at a location."""
    names: Sequence[str] = tuple(catalog.files)
    numbers = {name: number for number, name in enumerate(names)}
    tensors = {}
    for name, entry in catalog.tensors.items():
        source = numbers[entry.file]
        copy = Copy(offset=0, length=entry.length, source=source, source_offset=entry.offset)
        tensors[name] = Made(
            dtype=entry.dtype,
            shape=entry.shape,
            length=entry.length,
            operations=(copy,) if entry.length else (),
        )
    return Weights(tensors=tensors, files=tuple((location, name) for name in names))


def numbered_alike(weights: Weights, files: Sequence[tuple[str, str]]) -> Weights:
    """Return weights whose source files have the numbers that they have in `files`, so that they compare.

    Only copies keep their meaning; of anything else nothing is the same as before.
    """
    numbers = {file: number for number, file in enumerate(files)}

    def renumbered(operation: Operation) -> Operation:
        if isinstance(operation, Copy) and weights.files[operation.source] in numbers:
            return replace(operation, source=numbers[weights.files[operation.source]])
        return operation

    tensors = {
        name: replace(made, operations=tuple(map(renumbered, made.operations)))
        for name, made in weights.tensors.items()
    }
    return replace(weights, tensors=tensors, files=tuple(files))
