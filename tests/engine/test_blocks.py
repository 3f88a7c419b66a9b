"""Pieces: an exact partition of a shard for every piece size; slices of operations fit together."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.engine.blocks import cut_pieces, moved_piece, slice_operation
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import AddLowRank, Operation, source_terms, term_ranges
from tests.engine.shards import header_of, shard_plans

piece_sizes = st.integers(1, 60).map(lambda n: 8 * n)


@given(shard_plans(), piece_sizes)
@settings(deadline=None)
def test_pieces_partition_the_shard(shard: ShardPlan, piece_bytes: int) -> None:
    header = header_of(shard)
    tensors = sorted(header.tensors.values(), key=lambda tensor: (tensor.offset, tensor.length))
    position = header.size
    for piece in cut_pieces(header, shard.operations, piece_bytes=piece_bytes):
        tensor = tensors[piece.tensor]
        assert piece.offset == position == tensor.offset + piece.number * piece_bytes
        assert piece.length == min(piece_bytes, tensor.length - piece.number * piece_bytes)
        for operation in piece.operations:
            assert operation.offset == position
            position += operation.length
        assert position == piece.offset + piece.length
    assert position == shard.size


@given(shard_plans(), piece_sizes, st.integers(0, 10**6))
@settings(deadline=None)
def test_a_moved_piece_is_made_of_the_same_bytes(shard: ShardPlan, piece_bytes: int, offset: int) -> None:
    for piece in cut_pieces(header_of(shard), shard.operations, piece_bytes=piece_bytes):
        moved = moved_piece(piece, offset)
        assert [operation.offset - offset for operation in moved.operations] == [
            operation.offset - piece.offset for operation in piece.operations
        ]
        assert [source_terms(operation) for operation in moved.operations] == [
            source_terms(operation) for operation in piece.operations
        ]
        assert moved_piece(moved, piece.offset) == piece


@given(shard_plans(), piece_sizes)
@settings(deadline=None)
def test_sliced_operations_read_the_same_ranges_in_order(shard: ShardPlan, piece_bytes: int) -> None:
    pieces = [
        operation
        for piece in cut_pieces(header_of(shard), shard.operations, piece_bytes=piece_bytes)
        for operation in piece.operations
    ]
    assert _joined(pieces) == _joined(shard.operations)


def _joined(operations: "list[Operation] | tuple[Operation, ...]") -> list[list[int]]:
    """Return for each source term position the source bytes that are read, one by one.

    Thin matrices aside, which are read again for every part that needs them.
    """
    read: list[list[int]] = [[], [], []]
    for operation in operations:
        ranges = term_ranges(operation) if isinstance(operation, AddLowRank) else source_terms(operation)
        for index, (source, offset, length) in enumerate(ranges):
            read[index] += [source * 10**6 + byte for byte in range(offset, offset + length)]
    return read


@given(shard_plans(), st.data())
@settings(deadline=None)
def test_slices_of_slices_are_slices(shard: ShardPlan, data: st.DataObject) -> None:
    for operation in shard.operations:
        units = operation.length // 8
        if units < 2:
            continue
        begin = 8 * data.draw(st.integers(0, units - 1))
        length = 8 * data.draw(st.integers(1, units - begin // 8))
        outer = slice_operation(operation, operation.offset + begin, length)
        inner = slice_operation(outer, outer.offset, 8)
        assert inner == slice_operation(operation, operation.offset + begin, 8)
        assert slice_operation(operation, operation.offset, operation.length) == operation


@given(shard_plans(), piece_sizes, st.sets(st.integers(0, 4)))
@settings(deadline=None)
def test_pieces_never_lie_in_tensors_that_are_left_out(
    shard: ShardPlan, piece_bytes: int, left_out: set[int]
) -> None:
    whole = header_of(shard)
    kept = {name: tensor for name, tensor in whole.tensors.items() if int(name[1:]) not in left_out}
    starts = {tensor.offset for tensor in kept.values() if tensor.length}
    operations = [operation for operation in shard.operations if operation.offset in starts]
    covered = []
    for piece in cut_pieces(replace(whole, tensors=kept), operations, piece_bytes=piece_bytes):
        assert piece.length == sum(operation.length for operation in piece.operations) <= piece_bytes
        covered += range(piece.offset, piece.offset + piece.length)
    assert covered == [n for t in kept.values() for n in range(t.offset, t.offset + t.length)]
