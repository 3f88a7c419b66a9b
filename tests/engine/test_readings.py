"""Readings: every piece is made in one of them, and every source byte is read by one of them, once."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distexpand.engine import kept, space
from distexpand.engine.blocks import Piece, cut_pieces
from distexpand.engine.readings import Reading, cut_readings, ranges_of
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Blend, Copy, Operation, Scale, SourceRange, Term, Zero
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.way import Way
from tests.engine.paged_shards import (
    PAGE,
    SOURCE_BYTES,
    groups,
    plain_file,
    shard_of,
    sources_in,
)
from tests.engine.shards import MemoryReader, header_of
from tests.storage.contract import noise
from tests.support.transfers import DIRECT_WRITTEN, READ, counted_transfers, small_limits, takes_direct_io

PIECES = st.integers(2, 16).map(lambda n: n * PAGE)
RANGES = ((0, 0, 3 * PAGE), (0, 3 * PAGE, 2 * PAGE + 8), (0, 5 * PAGE + 8, 72), (1, 8, 3 * PAGE), (1, 0, 40))
"""Source, offset and length of what related tensors are made of: the first three lie side by side."""


def plan_of(shards: Sequence[ShardPlan]) -> Plan:
    return Plan(
        recipe="",
        sources=(),
        shards=tuple(shards),
        texts=(),
        copies=(),
        layers=(),
        layer_prefix="",
        parameters=0,
        source_parameters=0,
        locations=(),
    )


def cut(shards: Sequence[ShardPlan], piece_bytes: int) -> list[list[Piece]]:
    return [list(cut_pieces(header_of(s), s.operations, piece_bytes=piece_bytes)) for s in shards]


@st.composite
def related(draw: st.DrawFn) -> Operation:
    """Draw what makes a tensor in BF16 of one range or, blended, of several that are as long."""
    source, offset, length = draw(st.sampled_from(RANGES))
    term = Term(source=source, source_offset=offset, dtype=DType.BF16)
    match draw(st.sampled_from(["copy", "copy", "copy", "scale", "blend", "zero"])):
        case "copy":
            return Copy(offset=0, length=length, source=source, source_offset=offset)
        case "zero":
            return Zero(offset=0, length=length)
        case "scale":
            factor = draw(st.sampled_from([0.5, 0.7]))
            kinds = {"compute": DType.F32, "target": DType.BF16}
            return Scale(offset=0, length=length, term=term, factor=factor, **kinds)
    alike = [part for part in RANGES if part[2] == length]
    chosen = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2, unique=True))
    terms = tuple(Term(source=part[0], source_offset=part[1], dtype=DType.BF16) for part in chosen)
    weights = tuple(draw(st.sampled_from([0.25, 1.0])) for _ in terms)
    return Blend(
        offset=0,
        length=length,
        terms=terms,
        weights=weights,
        normalize=False,
        compute=DType.F32,
        target=DType.BF16,
    )


@st.composite
def related_shards(draw: st.DrawFn) -> list[ShardPlan]:
    """Draw shards of tensors that are made of the same few ranges."""
    lists = draw(st.lists(st.lists(related(), min_size=1, max_size=8), min_size=1, max_size=3))
    return [_shard(operations, f"m{number}") for number, operations in enumerate(lists)]


def _shard(operations: Sequence[Operation], name: str = "m") -> ShardPlan:
    header = encode_header(
        ((f"t{n}", DType.BF16, (operation.length // 2,)) for n, operation in enumerate(operations)), {}
    )
    placed, position = [], len(header)
    for operation in operations:
        placed.append(replace(operation, offset=position))
        position += operation.length
    return ShardPlan(name=name, header=header, size=position, operations=tuple(placed))


def _copy(number: int) -> Copy:
    source, offset, length = RANGES[number]
    return Copy(offset=0, length=length, source=source, source_offset=offset)


def _scale(number: int, factor: float) -> Scale:
    source, offset, length = RANGES[number]
    term = Term(source=source, source_offset=offset, dtype=DType.BF16)
    return Scale(offset=0, length=length, term=term, factor=factor, compute=DType.F32, target=DType.BF16)


@given(groups(most=4) | related_shards(), PIECES)
@settings(deadline=None, max_examples=80)
def test_every_piece_has_its_place_and_what_goes_there_are_its_bytes(
    shards: list[ShardPlan], piece_bytes: int
) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    readers = [MemoryReader(noise(SOURCE_BYTES, seed)) for seed in range(2)]
    files = [plain_file(shard, readers) for shard in shards]
    pieces = cut(shards, piece_bytes)
    found: list[tuple[int, int, int]] = []
    for reading in cut_readings(pieces, most_bytes=piece_bytes):
        for placed in reading.blocks:
            _require_partition(placed)
            made = b"".join(
                files[p.shard][p.offset : p.offset + p.length]
                for p in sorted(placed.firsts, key=lambda place: place.start)
            )
            for place in placed.places:
                assert (
                    files[place.shard][place.offset :][: place.length] == made[place.start :][: place.length]
                )
                found += [(place.shard, *piece) for piece in place.pieces]
                own = placed.block.pieces[place.first : place.first + len(place.pieces)]
                assert sum(piece.length for piece in own) == place.length
    assert sorted(found) == [(n, p.tensor, p.number) for n, own in enumerate(pieces) for p in own]


def _require_partition(placed) -> None:
    block = placed.block
    position = block.offset
    for piece in block.pieces:
        assert piece.offset == position
        position += piece.length
    assert position == block.offset + block.length
    assert [place.start for place in placed.firsts] == sorted(place.start for place in placed.firsts)
    assert sum(place.length for place in placed.firsts) == block.length
    assert placed.firsts[0].offset == block.offset


def _needed(readings: Sequence[Reading]) -> int:
    """Return the bytes of all distinct ranges."""
    blocks = [placed.block for reading in readings for placed in reading.blocks]
    return sum(length for _, _, length in {part for block in blocks for part in ranges_of(block.pieces)})


def executed(
    shards: Sequence[ShardPlan], readers: Sequence, folder: Path, piece_bytes: int, *, threads: int = 3
) -> list[Receipt]:
    receipts: list[Receipt] = []
    with ThreadPoolExecutor(threads) as pool:
        engine = ShardEngine(readers, pool, threading.Event(), piece_bytes=piece_bytes)
        engine.execute_together(shards, LocalOutput(folder, way=Way.DIRECT), lambda _: None, receipts.append)
    return receipts


@given(related_shards(), PIECES)
@example([_shard([_copy(0), _scale(0, 0.5), _scale(0, 0.7), _copy(1), _scale(1, 0.5)])], 2 * PAGE)
@settings(deadline=None, max_examples=60)
def test_each_range_is_read_once_whatever_is_made_of_it(
    tmp_path_factory: pytest.TempPathFactory, shards: list[ShardPlan], piece_bytes: int
) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    folder = tmp_path_factory.mktemp("out")
    readers = [MemoryReader(noise(SOURCE_BYTES, seed)) for seed in range(2)]
    expected = [plain_file(shard, [MemoryReader(bytes(r.data)) for r in readers]) for shard in shards]
    receipts = executed(shards, readers, folder, piece_bytes)
    needed = _needed(cut_readings(cut(shards, piece_bytes), most_bytes=piece_bytes))
    assert sum(reader.reads for reader in readers) == needed
    for receipt, raw in zip(receipts, expected, strict=True):
        assert (folder / receipt.attempt).read_bytes() == raw


@given(related_shards(), PIECES, st.sampled_from([0, PAGE, 3 * PAGE]))
@settings(deadline=None, max_examples=30)
def test_without_room_to_keep_a_range_it_is_read_again_and_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, shards: list[ShardPlan], piece_bytes: int, room: int
) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    folder = tmp_path_factory.mktemp("out")
    with sources_in(folder, [(1, []), (2, [(1, 2)])]) as readers, pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "MOST_KEPT", room)
        expected = [plain_file(shard, readers) for shard in shards]
        for reader in readers:
            reader.read_by(Way.DIRECT)
        with small_limits():
            receipts = executed(shards, readers, folder, piece_bytes)
        for receipt, raw in zip(receipts, expected, strict=True):
            assert (folder / receipt.attempt).read_bytes() == raw


def test_without_room_more_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the bound on memory is one."""
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    shards = [_shard([_copy(0), _scale(0, 0.5), _scale(0, 0.7)])]
    for room, times in ((3 * PAGE, 1), (3 * PAGE - 1, 3)):
        monkeypatch.setattr(kept, "MOST_KEPT", room)
        reader = MemoryReader(noise(SOURCE_BYTES))
        executed(shards, [reader], tmp_path, 4 * PAGE)
        assert reader.reads == times * 3 * PAGE


def test_neighbours_in_the_source_are_read_in_one_go_though_copies_lie_between_them(tmp_path: Path) -> None:
    """Small tensors with their copies behind them, as the layout by source has them."""
    sizes = [400, 8 * 1024, 24, 2048]
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    tensors = [("copy", 0, 16 + start, size) for start, size in zip(starts, sizes, strict=True)]
    shard = shard_of([tensor for tensor in tensors for _ in range(3)], remainder=16)

    class Telling(MemoryReader):
        """Notes every read."""

        def read_into(self, offset: int, buffer: memoryview) -> None:
            told.append((offset, len(buffer)))
            super().read_into(offset, buffer)

    told: list[tuple[int, int]] = []
    reader = Telling(noise(SOURCE_BYTES))
    (receipt,) = executed([shard], [reader], tmp_path, 16 * PAGE)
    assert told == [(16, sum(sizes))]
    assert (tmp_path / receipt.attempt).read_bytes() == plain_file(shard, [reader])


def test_copies_that_lie_otherwise_in_their_page_are_not_read_again(tmp_path: Path) -> None:
    """A copy moves in memory to where direct I/O wants it."""
    layer = ("copy", 0, 100, 8 * PAGE)
    shards = [shard_of([layer], remainder=100, name="a"), shard_of([("zero", 0, 0, 8), layer], remainder=0)]
    with small_limits(), sources_in(tmp_path, [(1, []), (2, [])]) as readers, counted_transfers() as moved:
        receipts = executed(shards, readers, tmp_path, 16 * PAGE)
        assert moved[READ] == 8 * PAGE
        if takes_direct_io(tmp_path):
            assert moved[DIRECT_WRITTEN] >= 2 * 7 * PAGE
        for shard, receipt in zip(shards, receipts, strict=True):
            assert (tmp_path / receipt.attempt).read_bytes() == plain_file(shard, readers)


@given(related_shards())
@settings(deadline=None, max_examples=60)
def test_the_memory_that_is_expected_holds_what_is_kept_of_any_block(shards: list[ShardPlan]) -> None:
    pieces = cut(shards, PIECE_BYTES)
    most = 0
    for reading in cut_readings(pieces):
        for placed in reading.blocks:
            ranges = reading.kept.intersection(ranges_of(placed.block.pieces))
            most = max(most, max((_kept_by(piece, ranges) for piece in placed.block.pieces), default=0))
    expected = space._kept_bytes(plan_of(shards))
    assert most <= expected <= sum(length for _, _, length in RANGES)
    assert (expected > 0) is (most > 0)


def _kept_by(piece: Piece, kept_ranges: Collection[SourceRange]) -> int:
    return sum(part[2] for part in ranges_of([piece]) if part in kept_ranges)
