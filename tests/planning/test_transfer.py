"""What is said of a plan's reading: as the sets of bytes are, and the same from either layout."""

import time
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.formats.dtypes import DType
from distexpand.planning.layout import Layout
from distexpand.planning.model import CopiedFile, ShardPlan
from distexpand.planning.operations import Copy, Zero, source_terms
from distexpand.planning.pack import pack
from distexpand.planning.tensors import OutputTensor
from distexpand.planning.transfer import LayoutReads, transfer
from tests.planning.test_by_source import tensors
from tests.report import plans

SIZES = st.integers(30, 300)


def alone(shards: Sequence[ShardPlan]) -> list[list[ShardPlan]]:
    return [[shard] for shard in shards]


def pairs(shards: Sequence[ShardPlan]) -> list[Sequence[ShardPlan]]:
    return [shards[start : start + 2] for start in range(0, len(shards), 2)]


def read(groups: Sequence[Sequence[ShardPlan]]) -> int:
    """Return what is read, each range once for a group."""
    found = 0
    for group in groups:
        ranges = {part for shard in group for op in shard.operations for part in source_terms(op)}
        found += sum(length for _, _, length in ranges)
    return found


def reads(layout: Layout, shards: Sequence[ShardPlan]) -> LayoutReads:
    return LayoutReads(layout=layout, together=read(pairs(shards)), apart=read(alone(shards)))


def _largest(shards: Sequence[ShardPlan]) -> int:
    return max((s.size - len(s.header) for s in shards if len(s.operations) > 1), default=1)


@given(tensors(), SIZES)
@settings(deadline=None)
def test_both_layouts_are_counted_as_they_would_be_packed(
    given_tensors: list[OutputTensor], shard_size: int
) -> None:
    shards = pack(given_tensors, {}, shard_size=shard_size)
    found = transfer(plans.plan(shards, ()), pairs)
    planned = {found.planned.layout: found.planned, found.other.layout: found.other}
    assert found.planned == reads(found.planned.layout, shards)
    if found.planned.layout is Layout.LAYERS:
        again = pack(given_tensors, {}, shard_size=_largest(shards), layout=Layout.BY_SOURCE)
        assert found.other.apart == read(alone(again))
    assert planned.keys() == set(Layout)
    wanted = {
        (source, byte)
        for tensor in given_tensors
        for source, offset, length in source_terms(tensor.operation)
        for byte in range(offset, offset + length)
    }
    assert found.needed == len(wanted)
    assert found.written == sum(shard.size for shard in shards)
    assert found.zeros == sum(t.operation.length for t in given_tensors if isinstance(t.operation, Zero))


@given(tensors(), SIZES)
@settings(deadline=None)
def test_layers_are_found_again_behind_shards_by_source(
    given_tensors: list[OutputTensor], shard_size: int
) -> None:
    shards = pack(given_tensors, {}, shard_size=shard_size, layout=Layout.BY_SOURCE)
    found = transfer(plans.plan(shards, ()), pairs)
    if len(shards) > 1:
        assert found.planned == reads(Layout.BY_SOURCE, shards)
        filled = [tensor for tensor in given_tensors if tensor.operation.length]
        assert found.other == reads(Layout.LAYERS, pack(filled, {}, shard_size=_largest(shards)))


def test_the_bytes_of_side_files_are_told() -> None:
    plan = plans.plan([plans.shard(1, 1, [("copy", 8, 0)])], ())
    plan = replace(
        plan,
        sources=(*plan.sources, replace(plan.sources[0], path="tokenizer.json", size=123)),
        copies=(CopiedFile(name="tokenizer.json", source=2),),
    )
    assert transfer(plan, alone).side_files == 123


def test_hundreds_of_thousands_of_tensors_take_seconds() -> None:
    """Of a mixture with every expert twice, far apart."""
    count, length = 300_000, 4096
    made = [
        OutputTensor(
            name=f"model.layers.{n // 500}.mlp.experts.{n % 500}.weight",
            dtype=DType.BF16,
            shape=(length // 2,),
            operation=Copy(offset=0, length=length, source=0, source_offset=n % (count // 2) * length),
        )
        for n in range(count)
    ]
    plan = plans.plan(pack(made, {}, shard_size=100_000_000), ())
    started = time.process_time()
    found = transfer(plan, alone)
    assert time.process_time() - started < 15
    assert found.planned == LayoutReads(layout=Layout.LAYERS, together=count * length, apart=count * length)
    assert found.other.apart == found.needed == count * length // 2
