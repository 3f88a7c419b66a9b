"""Executing a shard: the file is header and plain bytes, whatever the threads and piece sizes."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.engine.receipt import Receipt, decode_receipt, encode_receipt
from distexpand.engine.shard import ShardEngine
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.planning.model import ShardPlan
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalOutput
from distexpand.verifying.plain import plain_bytes
from tests.engine.shards import (
    SOURCE_BYTES,
    MemoryReader,
    copying_shard,
    local_readers,
    shard_plans,
    source_contents,
)


def _execute(
    shard: ShardPlan, readers: list, folder: Path, *, threads: int = 2, piece_bytes: int = 64
) -> tuple[Receipt, bytes, int]:
    (folder / WORK_DIRECTORY / "attempts").mkdir(parents=True, exist_ok=True)
    counted = []
    with ThreadPoolExecutor(threads) as pool:
        engine = ShardEngine(readers, pool, threading.Event(), piece_bytes=piece_bytes)
        receipt = engine.execute(shard, LocalOutput(folder / WORK_DIRECTORY / "attempts"), counted.append)
    path = folder / WORK_DIRECTORY / "attempts" / receipt.attempt
    return receipt, path.read_bytes(), sum(counted)


def _check(shard: ShardPlan, raw: list[bytes], piece: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readers = local_readers(folder, raw)
        expected = shard.header + b"".join(plain_bytes(operation, readers) for operation in shard.operations)
        receipts = []
        for threads in (1, 3):
            receipt, made, counted = _execute(shard, readers, folder, threads=threads, piece_bytes=8 * piece)
            assert made == expected
            assert counted == shard.size == receipt.size
            receipts.append((receipt.digest, receipt.tensors))
        assert receipts[0] == receipts[1]
        for reader in readers:
            reader.close()


@given(shard_plans(torch=False), source_contents, st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_a_file_of_copies_is_header_and_source_bytes(shard: ShardPlan, raw: list[bytes], piece: int) -> None:
    _check(shard, raw, piece)


@given(shard_plans(), source_contents, st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_a_file_is_header_and_plain_bytes(shard: ShardPlan, raw: list[bytes], piece: int) -> None:
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    _check(shard, raw, piece)


class FailingReader(MemoryReader):
    """Fails from a byte on, or when asked whether it is unchanged."""

    def __init__(self, *, after: int = SOURCE_BYTES, changed: bool = False) -> None:
        super().__init__(b"\7" * SOURCE_BYTES)
        self._after = after
        self._changed = changed

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > self._after:
            raise StorageError("the disk is broken")
        super().read_into(offset, buffer)

    def check_unchanged(self) -> None:
        if self._changed:
            raise StorageError("it changed")


@pytest.mark.parametrize(
    ("reader", "message"),
    [(FailingReader(after=2000), "the disk is broken"), (FailingReader(changed=True), "it changed")],
)
def test_failures_are_raised_and_give_no_receipt(tmp_path: Path, reader: FailingReader, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        _execute(copying_shard(4000), [reader], tmp_path)


def test_stopping_ends_between_two_blocks(tmp_path: Path) -> None:
    (tmp_path / WORK_DIRECTORY / "attempts").mkdir(parents=True)
    stop = threading.Event()

    def stopping(nbytes: int) -> None:
        if nbytes == 64:
            stop.set()

    with ThreadPoolExecutor(1) as pool:
        engine = ShardEngine([MemoryReader(bytes(SOURCE_BYTES))], pool, stop, piece_bytes=64)
        with pytest.raises(InterruptedRunError):
            engine.execute(copying_shard(4000), LocalOutput(tmp_path / WORK_DIRECTORY / "attempts"), stopping)


receipts = st.builds(
    Receipt,
    shard=st.text(),
    attempt=st.text(),
    size=st.integers(0),
    digest=st.text(),
    tensors=st.lists(st.tuples(st.text(), st.text())).map(tuple),
    seconds=st.floats(0, 1e9),
)


@given(receipts)
def test_receipts_round_trip_on_one_line(receipt: Receipt) -> None:
    line = encode_receipt(receipt)
    assert "\n" not in line
    assert decode_receipt(line) == receipt


@given(receipts, st.data())
def test_a_part_of_a_receipt_is_none(receipt: Receipt, data: st.DataObject) -> None:
    line = encode_receipt(receipt)
    with pytest.raises(ValueError, match=r"."):
        decode_receipt(line[: data.draw(st.integers(0, len(line) - 1))])


@pytest.mark.parametrize("line", ["1", "[]", "{}", "null", '{"shard": 1}', "[" * 100_000])
def test_other_json_is_no_receipt(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_receipt(line)
