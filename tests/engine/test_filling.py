"""Filling blocks: holes equal bytes, and what is known to be zero is neither read nor written."""

from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.engine.fill import Workspace, digest_pieces, fill_block
from distexpand.planning.digest_layout import piece_digest, zeros_digest
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Copy
from tests.engine.shards import (
    SOURCE_BYTES,
    SOURCES,
    MemoryReader,
    blocks_of,
    copying_shard,
    header_of,
    shard_plans,
    source_contents,
)

holes = st.lists(
    st.tuples(st.integers(0, SOURCE_BYTES), st.integers(0, SOURCE_BYTES)).map(sorted).map(tuple), max_size=4
)


def _filled(shard: ShardPlan, readers: list[MemoryReader], piece_bytes: int) -> tuple[bytes, list[bytes]]:
    """Return the shard's data as it would be on disk, and the pieces' digests."""
    made = bytearray(shard.size)
    digests = []
    workspace = Workspace(piece_bytes)
    for block in blocks_of(header_of(shard), shard.operations, piece_bytes=piece_bytes):
        workspace.begin(block.offset)
        workspace.buffer[:] = b"\xaa" * len(workspace.buffer)
        runs = fill_block(block, readers, workspace)
        written = bytearray(block.length)
        digests += digest_pieces(block, runs, workspace.buffer)
        for run in runs:
            assert 0 <= run.start < run.start + run.length <= block.length
            written[run.start : run.start + run.length] = workspace.buffer[run.start : run.start + run.length]
        made[block.offset : block.offset + block.length] = written
        for piece, digest in zip(block.pieces, digests[-len(block.pieces) :], strict=True):
            start = piece.offset - block.offset
            assert piece_digest(bytes(written[start : start + piece.length])) == digest
    return bytes(made), digests


@given(
    shard_plans(torch=False),
    source_contents,
    st.lists(holes, min_size=SOURCES, max_size=SOURCES),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_holes_equal_zero_bytes(
    shard: ShardPlan, contents: list[bytes], gaps: list[list[tuple[int, int]]], piece: int
) -> None:
    with_holes = [MemoryReader(raw, hole) for raw, hole in zip(contents, gaps, strict=True)]
    without = [MemoryReader(bytes(reader.data)) for reader in with_holes]
    assert _filled(shard, with_holes, 8 * piece) == _filled(shard, without, 8 * piece)
    named = sum(operation.length for operation in shard.operations if isinstance(operation, Copy))
    assert sum(reader.reads for reader in without) == named
    assert sum(reader.reads for reader in with_holes) <= named


def test_zeros_have_the_digest_of_zero_bytes() -> None:
    for length in (1, 7, 16, 100_000):
        assert zeros_digest(length) == piece_digest(bytes(length))


def test_a_hole_is_never_read() -> None:
    reader = MemoryReader(b"\1" * SOURCE_BYTES, [(0, SOURCE_BYTES)])
    made, _ = _filled(copying_shard(64), [reader], 16)
    assert made == bytes(len(made))
    assert reader.reads == 0
