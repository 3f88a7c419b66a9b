"""Congruence: most copied bytes lie as their source's do; shards end for it only where it is worth one."""

from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.formats.dtypes import DType
from distexpand.formats.header import LENGTH_BYTES
from distexpand.planning.check import shard_header
from distexpand.planning.congruence import SHARED_BLOCK, congruent_runs, header_remainder
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Copy, Zero
from distexpand.planning.pack import pack
from distexpand.planning.tensors import OutputTensor

BLOCK = SHARED_BLOCK

dtypes = st.sampled_from([DType.BF16, DType.BF16, DType.F32, DType.U8, DType.I64])
sizes = st.one_of(st.integers(0, 5), st.integers(1, 5 * BLOCK), st.integers(1, 12).map(lambda n: n * BLOCK))
phases = st.one_of(st.sampled_from([0, 8, 104, 1000, 4088]), st.integers(0, BLOCK - 1))


@st.composite
def tensor_lists(draw: st.DrawFn) -> list[OutputTensor]:
    """Draw tensors as layers give them: runs that go on in one source file, of several files, and zeros."""
    made: list[OutputTensor] = []
    position = [draw(phases) for _ in range(3)]
    source = 0
    for number in range(draw(st.integers(1, 14))):
        dtype = draw(dtypes)
        elements = draw(sizes) // (dtype.bits // 8)
        length = elements * dtype.bits // 8
        match draw(st.sampled_from(["next", "next", "next", "other", "anywhere", "zero"])):
            case "other":
                source = draw(st.integers(0, 2))
            case "anywhere":
                position[source] = draw(st.integers(0, 10**6))
            case "zero":
                made.append(_tensor(number, dtype, elements, Zero(offset=0, length=length)))
                continue
        copy = Copy(offset=0, length=length, source=source, source_offset=position[source])
        position[source] += length
        made.append(_tensor(number, dtype, elements, copy))
    return made


def _tensor(number: int, dtype: DType, elements: int, operation: Copy | Zero) -> OutputTensor:
    return OutputTensor(name=f"t{number}", dtype=dtype, shape=(elements,), operation=operation)


def copied(number: int, source_offset: int, length: int, *, source: int = 0) -> OutputTensor:
    copy = Copy(offset=0, length=length, source=source, source_offset=source_offset)
    return _tensor(number, DType.U8, length, copy)


def congruent_bytes(shard: ShardPlan) -> int:
    """Return the copied bytes that lie as their source's do."""
    return sum(
        operation.length
        for operation in shard.operations
        if isinstance(operation, Copy) and (operation.offset - operation.source_offset) % BLOCK == 0
    )


def best_possible(shard: ShardPlan) -> int:
    """Return the most of them that any header of an even size would give."""
    wanted: Counter[int] = Counter()
    for operation in shard.operations:
        if isinstance(operation, Copy):
            inside = operation.offset - len(shard.header)
            wanted[(operation.source_offset - inside) % BLOCK] += operation.length
    return max((weight for size, weight in wanted.items() if size % LENGTH_BYTES == 0), default=0)


shard_sizes = st.integers(1, 40 * BLOCK)


@given(tensor_lists(), shard_sizes)
@settings(deadline=None)
def test_as_many_bytes_are_congruent_as_one_header_allows(tensors: list[OutputTensor], size: int) -> None:
    for shard in pack(tensors, {}, shard_size=size):
        assert congruent_bytes(shard) == best_possible(shard)
        assert len(shard.header) % LENGTH_BYTES == 0
        assert shard_header(shard).size == len(shard.header)


@given(tensor_lists(), shard_sizes)
@settings(deadline=None)
def test_every_tensor_is_aligned_to_its_element_however_odd_its_source(
    tensors: list[OutputTensor], size: int
) -> None:
    for shard in pack(tensors, {}, shard_size=size):
        for tensor in shard_header(shard).tensors.values():
            assert not tensor.length or tensor.offset % (tensor.dtype.bits // 8) == 0


@given(tensor_lists(), shard_sizes)
@settings(deadline=None)
def test_a_shard_ends_only_when_it_is_full_or_between_two_long_runs(
    tensors: list[OutputTensor], size: int
) -> None:
    runs = [[tensor.name for tensor in run] for run in congruent_runs(tensors)]
    lengths = {tensor.name: tensor.operation.length for tensor in tensors}
    order = [tensor.name for tensor in tensors]
    begins = {run[0]: sum(lengths[name] for name in run) for run in runs}
    shards = [
        sorted(shard_header(shard).tensors, key=order.index) for shard in pack(tensors, {}, shard_size=size)
    ]
    assert [name for shard in shards for name in shard] == order
    for before, after in pairwise(shards):
        held, first = sum(lengths[name] for name in before), after[0]
        full = held + lengths[first] > size
        assert full or (first in begins and min(held, begins[first]) > size // 10)


@given(tensor_lists())
@settings(deadline=None)
def test_runs_are_all_tensors_in_order_and_each_is_congruent_by_width(tensors: list[OutputTensor]) -> None:
    runs = list(congruent_runs(tensors))
    assert [tensor for run in runs for tensor in run] == tensors
    assert all(runs)
    for run in runs:
        ordered = sorted(run, key=lambda tensor: -tensor.dtype.bits)
        for _, same in groupby(ordered, key=lambda tensor: tensor.dtype.bits):
            found, position = set(), 0
            for tensor in same:
                operation = tensor.operation
                if isinstance(operation, Copy) and operation.length >= BLOCK:
                    found.add((operation.source_offset - position) % BLOCK)
                position += operation.length
            assert len(found) <= 1


@given(tensor_lists(), shard_sizes, st.integers(0, 100).map(lambda n: n * BLOCK))
@settings(deadline=None)
def test_the_layout_depends_on_phases_alone(tensors: list[OutputTensor], size: int, moved: int) -> None:
    """Sources may be numbered otherwise, and have more before the tensors, by whole blocks."""
    others = [
        t._replace(operation=replace(t.operation, source=7, source_offset=t.operation.source_offset + moved))
        if isinstance(t.operation, Copy)
        else t
        for t in tensors
    ]
    layouts = [
        [(shard.name, shard.header, shard.size) for shard in pack(own, {"made": "here"}, shard_size=size)]
        for own in (tensors, others, tensors)
    ]
    assert layouts[0] == layouts[1] == layouts[2]


def test_a_file_of_runs_in_phase_is_congruent_whole() -> None:
    tensors = [copied(n, 1000 + n * 3 * BLOCK, 3 * BLOCK) for n in range(6)]
    (shard,) = pack(tensors, {}, shard_size=10**6)
    assert len(shard.header) % BLOCK == 1000
    assert congruent_bytes(shard) == 18 * BLOCK


def test_two_long_runs_out_of_phase_get_shards_of_their_own_and_a_short_one_does_not() -> None:
    long, short = 12 * BLOCK, 9 * BLOCK
    for first, second, shards in [(long, long, 2), (long, short, 1), (short, long, 1), (short, short, 1)]:
        tensors = [copied(0, 8, first), copied(1, 16, second, source=1)]
        made = pack(tensors, {}, shard_size=100 * BLOCK)
        assert len(made) == shards
        assert sum(map(congruent_bytes, made)) == (first + second if shards == 2 else max(first, second))


def test_of_equal_weights_the_smaller_header_is_taken() -> None:
    tensors = [copied(0, 4000, BLOCK), copied(1, 16 + BLOCK, BLOCK, source=1)]
    assert header_remainder(tensors) == 16
    assert header_remainder([]) == 0
    assert header_remainder([_tensor(0, DType.U8, 5, Zero(offset=0, length=5))]) == 0


def test_a_source_with_a_header_of_odd_size_makes_no_odd_output() -> None:
    """Such files exist: nothing makes a writer pad its header."""
    odd, even = copied(0, 1003, 20 * BLOCK), copied(1, 1016, BLOCK, source=1)
    assert header_remainder([odd]) == 0
    assert header_remainder([even, odd]) == 1016
    (shard,) = pack([odd], {}, shard_size=10**6)
    assert len(shard.header) % BLOCK == 0
