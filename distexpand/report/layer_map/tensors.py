"""What a plan's shards hold: bytes and shards of each layer, and the tensors outside the stack.

Read off the encoded headers, the one place in a plan that knows tensors' names.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distexpand.architecture.outside import is_before_stack
from distexpand.formats.header import LENGTH_BYTES
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Operation, source_terms

_EXPERTS = ".experts."


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideTensor:
    """A tensor outside the layer stack, its bytes, and the models that it is made of."""

    name: str
    size: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTensors:
    """Bytes and shards by layer, tensors before and after the stack, and each shard's number of tensors.

    `experts` are the layers that have some (mixtures of experts).
    """

    sizes: dict[int, int]
    shards: dict[int, set[int]]
    experts: frozenset[int]
    before: tuple[OutsideTensor, ...]
    after: tuple[OutsideTensor, ...]
    counts: tuple[int, ...]


def plan_tensors(plan: Plan) -> PlanTensors:
    """Return what the shards of a plan hold; bytes are those of tensor data."""
    sizes: dict[int, int] = defaultdict(int)
    shards: dict[int, set[int]] = defaultdict(set)
    outside: list[OutsideTensor] = []
    counts, experts = [], set()
    for number, shard in enumerate(plan.shards):
        entries = list(_entries(shard))
        counts.append(len(entries))
        for name, begin, end in entries:
            layer = _layer_number(name, plan.layer_prefix)
            if layer is None:
                made_of = _models(plan, shard.operations, begin, end)
                outside.append(OutsideTensor(name=name, size=end - begin, models=made_of))
            else:
                sizes[layer] += end - begin
                shards[layer].add(number)
                if _EXPERTS in name:
                    experts.add(layer)
    return PlanTensors(
        sizes=dict(sizes),
        shards=dict(shards),
        experts=frozenset(experts),
        before=tuple(tensor for tensor in outside if is_before_stack(tensor.name)),
        after=tuple(tensor for tensor in outside if not is_before_stack(tensor.name)),
        counts=tuple(counts),
    )


def _entries(shard: ShardPlan) -> Iterator[tuple[str, int, int]]:
    """Yield each tensor's name, and where its bytes begin and end in the file."""
    entries = json.loads(shard.header[LENGTH_BYTES:])
    entries.pop("__metadata__", None)
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        yield name, len(shard.header) + begin, len(shard.header) + end


def _layer_number(name: str, prefix: str) -> int | None:
    """Return the layer of the stack that a tensor belongs to, if it does."""
    if not name.startswith(prefix):
        return None
    digits = name[len(prefix) :].partition(".")[0]
    return int(digits) if digits.isdecimal() else None


def _models(plan: Plan, operations: Sequence[Operation], begin: int, end: int) -> tuple[str, ...]:
    """Return the models that the bytes from `begin` to `end` of a shard are made of."""
    found: dict[str, None] = {}
    at = max(bisect_right(operations, begin, key=lambda operation: operation.offset) - 1, 0)
    for operation in operations[at:]:
        if operation.offset >= end:
            break
        found |= dict.fromkeys(plan.sources[source].model for source, _, _ in source_terms(operation))
    return tuple(found)
