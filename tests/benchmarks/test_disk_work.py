import errno
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.disk_limit import PIECE_BYTES, DiskWork, Read, Write, move, pieces
from benchmarks.disk_work import disk_work, joined
from benchmarks.speed_cases import case_of
from tests.support.sparse import write_checkpoint

WORK = DiskWork(
    reads=(Read(path="in", offset=5000, length=3 * PIECE_BYTES), Read(path="in", offset=10, length=20)),
    writes=(Write(path="out", size=10 * PIECE_BYTES, data=2 * PIECE_BYTES + 1),),
)


def test_ranges_that_go_on_are_one_read():
    assert joined([(0, 0, 5), (0, 5, 9), (0, 0, 5), (1, 5, 6)], once=False) == [
        (0, 0, 9),
        (0, 0, 5),
        (1, 5, 6),
    ]


def test_bytes_of_an_earlier_range_are_not_read_again():
    ranges = [(0, 0, 5), (0, 0, 9), (0, 2, 4), (0, 9, 10), (0, 11, 12), (1, 11, 12)]
    assert joined(ranges, once=True) == [(0, 0, 10), (0, 11, 12), (1, 11, 12)]


def test_pieces_are_whole_pages_that_cover_the_work():
    found = pieces(WORK)
    assert all(piece.offset % 4096 == 0 == piece.length % 4096 for piece in found)
    assert all(0 < piece.length <= PIECE_BYTES for piece in found)
    long = sorted((p.offset, p.length) for p in found if not p.is_write and p.offset)
    assert long[0][0] == 4096
    assert sum(long[-1]) == 3 * PIECE_BYTES + 8192
    assert all(offset + length == after for (offset, length), (after, _) in pairwise(long))
    written = sorted((piece.offset, piece.length) for piece in found if piece.is_write)
    assert written == [(0, PIECE_BYTES), (PIECE_BYTES, PIECE_BYTES), (2 * PIECE_BYTES, 4096)]


def test_reads_and_writes_are_spread_among_each_other():
    kinds = "".join("w" if piece.is_write else "r" for piece in pieces(WORK))
    assert kinds.count("r") == 5
    assert "www" not in kinds
    assert "rrrr" not in kinds


def test_work_is_kept_as_json(tmp_path: Path):
    assert DiskWork.load(WORK.save(tmp_path / "work.json")) == WORK


def test_a_plan_reads_uses_or_bytes_and_leaves_zeros_out(tmp_path: Path):
    source = write_checkpoint(tmp_path / "source", "smollm2-135m", num_layers=4)
    case = case_of("expansion", source)
    each, once = (disk_work(case.plan, tmp_path / "out", once=once) for once in (False, True))
    weights = (source / "model.safetensors").stat().st_size
    header = int.from_bytes((source / "model.safetensors").read_bytes()[:8], "little")
    assert once.read_bytes == weights - header - 8
    assert len(once.reads) == 1
    zeros = 2 * (576 * 576 + 576 * 1536)
    assert each.written_bytes == sum(write.size for write in each.writes) - zeros
    assert each.read_bytes == each.written_bytes - len(case.plan.shards[0].header)


def test_the_limit_leaves_files_of_the_planned_sizes(tmp_path: Path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10_001)
    output = tmp_path / "out" / "file"
    work = DiskWork(
        reads=(Read(path=str(source), offset=1, length=10_000),),
        writes=(Write(path=str(output), size=20_001, data=9000),),
    )
    try:
        move(work, threads=2, mode="mixed")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        pytest.skip("no direct I/O here")
    assert output.stat().st_size == 20_001
