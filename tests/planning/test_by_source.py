"""Shards by source: valid ones, with what is made of the same source bytes in the same one."""

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from distexpand.formats.dtypes import DType
from distexpand.planning.by_source import families, source_groups
from distexpand.planning.check import check_plan, shard_header
from distexpand.planning.layout import Layout
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import (
    Blend,
    Copy,
    Operation,
    Scale,
    SourceRange,
    Term,
    Zero,
    source_terms,
)
from distexpand.planning.pack import pack
from distexpand.planning.tensors import OutputTensor
from tests.report import plans

BF16 = {"compute": DType.F32, "target": DType.BF16}
RANGES = [(source, offset, 2 * size) for source in range(2) for offset, size in ((0, 8), (16, 8), (32, 20))]


@st.composite
def tensors(draw: st.DrawFn) -> list[OutputTensor]:
    """Draw tensors of two widths that are made of a few ranges of two files, or of none."""
    made = []
    for index in range(draw(st.integers(1, 14))):
        operation, dtype = draw(_made()), draw(st.sampled_from([DType.BF16, DType.BF16, DType.U8]))
        if not isinstance(operation, Copy | Zero):
            dtype = DType.BF16
        shape = (operation.length * 8 // dtype.bits,)
        made.append(OutputTensor(name=f"t{index}", dtype=dtype, shape=shape, operation=operation))
    return made


@st.composite
def _made(draw: st.DrawFn) -> Operation:
    source, offset, length = draw(st.sampled_from(RANGES))
    kind = draw(st.sampled_from(["copy", "copy", "scale", "blend", "zero"]))
    if kind == "zero":
        return Zero(offset=0, length=draw(st.sampled_from([0, 2, 30])))
    if kind == "copy":
        return Copy(offset=0, length=length, source=source, source_offset=offset)
    term = Term(source=source, source_offset=offset, dtype=DType.BF16)
    if kind == "scale":
        return Scale(offset=0, length=length, term=term, factor=draw(st.sampled_from([0.5, 2.0])), **BF16)
    other = draw(st.sampled_from([part for part in RANGES if part[2] == length]))
    terms = (term, Term(source=other[0], source_offset=other[1], dtype=DType.BF16))
    return Blend(offset=0, length=length, terms=terms, weights=(0.5, 0.5), normalize=True, **BF16)


def _connected(ranges: Sequence[Sequence[SourceRange]]) -> set[frozenset[int]]:
    """Return the families by going from tensor to tensor."""
    using: dict[SourceRange, set[int]] = defaultdict(set)
    for tensor, own in enumerate(ranges):
        for part in own:
            using[part].add(tensor)
    found = set()
    for tensor in range(len(ranges)):
        family, waiting = {tensor}, [tensor]
        while waiting:
            near = set().union(*(using[part] for part in ranges[waiting.pop()])) - family
            family |= near
            waiting += near
        found.add(frozenset(family))
    return found


@given(tensors())
@settings(deadline=None)
def test_a_family_is_all_that_hangs_together(given_tensors: list[OutputTensor]) -> None:
    ranges = [source_terms(tensor.operation) for tensor in given_tensors]
    found = families(ranges)
    assert {frozenset(family) for family in found} == _connected(ranges)
    assert sorted(itertools.chain(*found)) == list(range(len(ranges)))
    read = [ranges[family[0]] for family in found if ranges[family[0]]]
    assert read == sorted(read)
    assert [bool(ranges[family[0]]) for family in found] == [True] * len(read) + [False] * (
        len(found) - len(read)
    )
    for family in found:
        assert [ranges[tensor] for tensor in family] == sorted(ranges[tensor] for tensor in family)


@given(tensors(), st.integers(1, 300))
@settings(deadline=None)
@example([], 1)
def test_shards_are_valid_and_hold_every_tensor_once(
    given_tensors: list[OutputTensor], shard_size: int
) -> None:
    shards = pack(given_tensors, {}, shard_size=shard_size, layout=Layout.BY_SOURCE)
    by_name = {tensor.name: tensor for tensor in given_tensors}
    found: list[str] = []
    for shard in shards:
        header = shard_header(shard)
        found += header.tensors
        filled = [name for name, tensor in header.tensors.items() if tensor.length]
        assert shard.size - len(shard.header) <= shard_size or len(filled) == 1
        for name, operation in zip(filled, shard.operations, strict=True):
            assert (header.tensors[name].dtype, header.tensors[name].shape) == by_name[name][1:3]
            assert source_terms(operation) == source_terms(by_name[name].operation)
            assert operation.offset == header.tensors[name].offset
    assert sorted(found) == sorted(by_name)
    check_plan(replace(plans.plan(shards, ()), locations=(("m", "/m"),)))


@given(tensors(), st.integers(1, 300))
@settings(deadline=None)
def test_a_family_is_split_only_where_it_does_not_fit(
    given_tensors: list[OutputTensor], shard_size: int
) -> None:
    ranges = [source_terms(tensor.operation) for tensor in given_tensors]
    lengths = [tensor.operation.length for tensor in given_tensors]
    groups = list(source_groups(ranges, lengths, shard_size))
    place = {tensor: number for number, group in enumerate(groups) for tensor in group}
    for family in families(ranges):
        used = sorted({place[tensor] for tensor in family})
        if sum(lengths[tensor] for tensor in family) <= shard_size:
            assert len(used) == 1
        assert used == list(range(used[0], used[-1] + 1))
    assert list(itertools.chain(*groups)) == list(itertools.chain(*families(ranges)))


@given(tensors(), st.integers(1, 300), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_copies_stand_side_by_side_whatever_the_order_of_layers(
    given_tensors: list[OutputTensor], shard_size: int, order: random.Random
) -> None:
    """Each width for itself; and what is read is read in the order of the file."""
    made = [tensor for tensor in given_tensors if not isinstance(tensor.operation, Zero)]
    packed, other = (
        pack(some, {}, shard_size=shard_size, layout=Layout.BY_SOURCE)
        for some in (made, order.sample(made, len(made)))
    )
    for shard in packed:
        header = shard_header(shard)
        widths = {t.offset: t.dtype.bits for t in header.tensors.values() if t.length}
        for _, own in itertools.groupby(shard.operations, key=lambda op: widths[op.offset]):
            copied = [source_terms(op) for op in own if isinstance(op, Copy)]
            runs = [reads for reads, _ in itertools.groupby(copied)]
            assert len(runs) == len(set(runs))
    assert [_reads(shard) for shard in packed] == [_reads(shard) for shard in other]


def _reads(shard: ShardPlan) -> list[tuple[SourceRange, ...]]:
    return sorted(source_terms(operation) for operation in shard.operations)


def test_a_chain_of_blends_is_read_on_and_split_where_a_shard_is_full() -> None:
    """A0+B0, A0+B1, A1+B1, ...: each shard reads what it needs once, the next one the last range again."""
    terms = [Term(source=n % 2, source_offset=100 * (n // 2), dtype=DType.BF16) for n in range(12)]
    chain = [
        OutputTensor(
            name=f"t{n}",
            dtype=DType.BF16,
            shape=(50,),
            operation=Blend(
                offset=0,
                length=100,
                terms=tuple(sorted(terms[n : n + 2], key=lambda term: term.source)),
                weights=(1.0, 1.0),
                normalize=True,
                **BF16,
            ),
        )
        for n in range(11)
    ]
    random.Random(1).shuffle(chain)
    shards = pack(chain, {}, shard_size=300, layout=Layout.BY_SOURCE)
    read = [{part for op in shard.operations for part in source_terms(op)} for shard in shards]
    assert [len(shard.operations) for shard in shards] == [3, 3, 3, 2]
    assert [len(one) for one in read] == [4, 4, 4, 3]
    assert all(len(one & two) == 1 for one, two in itertools.pairwise(read))
