"""The journal: torn lines are as if they had never been written."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from distexpand.commit.journal import append_receipt, read_journal
from distexpand.engine.receipt import Receipt

RECEIPT = Receipt(
    shard="model-1.safetensors", attempt="x", size=3, digest="00", tensors=(("ü\n", "01"),), seconds=0.5
)


def _receipts(count: int) -> list[Receipt]:
    return [replace(RECEIPT, shard=f"model-{index}.safetensors") for index in range(count)]


def _journal(folder: Path, receipts: list[Receipt]) -> Path:
    path = folder / "journal.jsonl"
    for receipt in receipts:
        append_receipt(path, receipt)
    return path


def test_receipts_come_back_in_order_the_later_of_two_counts(tmp_path: Path) -> None:
    again = replace(RECEIPT, shard="model-0.safetensors", attempt="second")
    path = _journal(tmp_path, [*_receipts(3), again])
    assert list(read_journal(path).values()) == [again, *_receipts(3)[1:]]
    assert read_journal(tmp_path / "none") == {}


def test_a_journal_cut_anywhere_keeps_the_whole_lines(tmp_path: Path) -> None:
    receipts = _receipts(3)
    path = _journal(tmp_path, receipts)
    raw = path.read_bytes()
    for length in range(len(raw) + 1):
        path.write_bytes(raw[:length])
        found = list(read_journal(path).values())
        assert found == receipts[: len(found)]
        append_receipt(path, replace(RECEIPT, shard="after"))
        assert list(read_journal(path)) == [*(r.shard for r in found), "after"]
    assert len(found) == 3


@given(st.binary(max_size=200))
def test_garbage_between_lines_is_passed_over(tmp_path_factory, garbage: bytes) -> None:  # type: ignore[no-untyped-def]
    path = _journal(tmp_path_factory.mktemp("journal"), _receipts(1))
    path.write_bytes(path.read_bytes() + garbage)
    append_receipt(path, replace(RECEIPT, shard="after"))
    assert list(read_journal(path)) == ["model-0.safetensors", "after"]
