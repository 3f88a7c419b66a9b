"""What verification computes is plain: not fooled by the engine's own errors, the same by pieces, flat."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.api import run_plan, verify_output
from distexpand.engine import fill
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.planning.digest_layout import PIECE_BYTES, combined_digest, piece_digest
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Scale, Term
from distexpand.storage.local.reader import LocalReader
from distexpand.verifying import digests, plain
from distexpand.verifying.digests import file_digests, planned_digests
from distexpand.verifying.plain import plain_bytes
from tests.api.small import BLOCKS, SCALED, small_model, small_plan
from tests.engine.shards import MemoryReader, header_of, shard_plans, source_contents

MIB = 2**20


def _ignore(_: int) -> None:
    pass


def _half_hole(_reader: LocalReader, offset: int, length: int):
    """Claim that the second half of every range is a hole."""
    yield offset, length // 2


def _unscaled(_step: object, inputs: list[memoryview], target: memoryview, _scratch: object) -> None:
    target[:] = inputs[0][: len(target)]


def test_the_engine_s_reading_errors_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faulty reading is there while verifying, too."""
    model, output = small_model(tmp_path / "a"), tmp_path / "out"
    monkeypatch.setattr(LocalReader, "data_ranges", _half_hole)
    run_plan(small_plan(BLOCKS, model), output)
    report = verify_output(output, sources=True, places={"a": str(model)})
    assert {difference.check for difference in report.differences} == {"sources"}


def test_the_engine_s_transform_errors_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    model, output = small_model(tmp_path / "a"), tmp_path / "out"
    monkeypatch.setattr(fill, "apply_transform", _unscaled)
    run_plan(small_plan(SCALED, model), output)
    report = verify_output(output, sources=True, places={"a": str(model)})
    assert report.differences
    assert {difference.check for difference in report.differences} == {"sources"}


def _check_by_pieces(shard: ShardPlan, contents: list[bytes], piece: int, step: int) -> None:
    readers = [MemoryReader(raw) for raw in contents]
    data = b"".join(plain_bytes(operation, readers) for operation in shard.operations)
    header = header_of(shard)
    expected = {}
    for name, tensor in header.tensors.items():
        raw = data[tensor.offset - header.size :][: tensor.length]
        parts = [raw[start : start + piece] for start in range(0, len(raw), piece)]
        expected[name] = combined_digest(map(piece_digest, parts)).hex()
    counted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "PIECE_BYTES", piece)
        patch.setattr(plain, "STEP_BYTES", step)
        assert planned_digests(shard, readers, threads=2, advance=counted.append) == expected
        file = MemoryReader(shard.header + data)
        assert file_digests(header, file, threads=2, advance=counted.append) == expected
    assert sum(counted) == 2 * len(data)


@given(shard_plans(torch=False), source_contents, st.integers(1, 60))
@settings(deadline=None)
def test_copies_by_pieces_equal_the_whole(shard: ShardPlan, contents: list[bytes], piece: int) -> None:
    _check_by_pieces(shard, contents, 8 * piece, 8)


@given(shard_plans(), source_contents, st.integers(1, 60), st.integers(1, 9))
@settings(deadline=None)
def test_transforms_by_pieces_equal_the_whole(
    shard: ShardPlan, contents: list[bytes], piece: int, step: int
) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    _check_by_pieces(shard, contents, 8 * piece, 8 * step)


def test_no_read_is_larger_than_a_step() -> None:
    """A cast of 20 MiB to 40 MiB never has more of its source in memory than one step needs."""
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    raw = encode_header([("t", DType.F32, (10 * MIB,))], {})
    term = Term(source=0, source_offset=0, dtype=DType.BF16)
    cast = Scale(
        offset=len(raw), length=40 * MIB, term=term, factor=1.0, compute=DType.BF16, target=DType.F32
    )
    shard = ShardPlan(name="m", header=raw, size=len(raw) + 40 * MIB, operations=(cast,))
    reader = _Recording(random.Random(1).randbytes(20 * MIB))
    found = planned_digests(shard, [reader], threads=2, advance=_ignore)
    assert max(reader.lengths) <= plain.STEP_BYTES
    whole = plain_bytes(cast, [reader])
    parts = [whole[start : start + PIECE_BYTES] for start in range(0, len(whole), PIECE_BYTES)]
    assert found == {"t": combined_digest(map(piece_digest, parts)).hex()}
    assert parse_header(raw, file_size=shard.size, origin="m").tensors.keys() == found.keys()


class _Recording(MemoryReader):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.lengths: list[int] = []

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.lengths.append(len(buffer))
        super().read_into(offset, buffer)
