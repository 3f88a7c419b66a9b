"""Every way that bytes can take gives the plain path's file: direct, through the cache, shared, together."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distexpand.engine import fill
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.formats.dtypes import DType
from distexpand.planning.digest_layout import combined_digest, piece_digest, shard_digest
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Scale, Term
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.way import Way
from distexpand.storage.ranges import RangeReader
from tests.engine.paged_shards import (
    PAGE,
    groups,
    plain_file,
    shard_of,
    source_contents,
    sources_in,
    transformed_shards,
)
from tests.engine.shards import header_of
from tests.support.mounts import HERE, KINDS, FileSystems, fresh_folder, shares_blocks
from tests.support.transfers import (
    DIRECT_READ,
    DIRECT_WRITTEN,
    SHARED,
    counted_transfers,
    small_limits,
    takes_direct_io,
)

piece_sizes = st.one_of(st.integers(1, 60_000 // 8).map(lambda n: 8 * n), st.sampled_from([8192, 1 << 16]))


def executed(case: "Case", readers: Sequence[RangeReader], folder: Path) -> list[Receipt]:
    receipts: list[Receipt] = []
    counted: list[int] = []
    output = LocalOutput(folder, way=case.writing, shares=case.clone)
    with ThreadPoolExecutor(case.threads) as pool:
        engine = ShardEngine(readers, pool, threading.Event(), piece_bytes=case.piece_bytes)
        engine.execute_together(case.shards, output, counted.append, receipts.append)
    assert [receipt.shard for receipt in receipts] == [shard.name for shard in case.shards]
    assert sum(counted) == sum(shard.size for shard in case.shards)
    return receipts


def _require_digests(receipt: Receipt, shard: ShardPlan, expected: bytes, piece_bytes: int) -> None:
    """Digests are those of the bytes, except that a tensor of which a part was shared has none."""
    header, known = header_of(shard), []
    for name, digest in receipt.tensors:
        tensor = header.tensors[name]
        raw = expected[tensor.offset : tensor.offset + tensor.length]
        pieces = [raw[start : start + piece_bytes] for start in range(0, len(raw), piece_bytes)]
        if digest:
            known.append(combined_digest(map(piece_digest, pieces)))
            assert digest == known[-1].hex()
    assert receipt.digest == shard_digest(shard.header, known).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Shards, what their sources hold, and how they are made."""

    shards: list[ShardPlan]
    contents: list[tuple[int, list[tuple[int, int]]]]
    reading: Way = Way.DIRECT
    writing: Way = Way.DIRECT
    clone: bool
    threads: int = 3
    piece_bytes: int = 11 * PAGE


cases = st.builds(
    Case,
    shards=groups(),
    contents=source_contents,
    reading=st.sampled_from(Way),
    writing=st.sampled_from(Way),
    clone=st.booleans(),
    threads=st.integers(1, 4),
    piece_bytes=piece_sizes,
)

LAYER = [("copy", 0, 100, 11 * PAGE), ("copy", 0, 100 + 11 * PAGE, 9 * PAGE + 5), ("zero", 0, 0, 3 * PAGE)]
TWICE = Case(
    shards=[shard_of([*LAYER, *more], remainder=100, name=f"m{len(more)}") for more in ([], LAYER)],
    contents=[(1, []), (2, [(3, 5)])],
    clone=True,
)
"""A layer that two shards begin with: it moves in all ways that there are."""


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same file system", "sources elsewhere"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_plain_path_s_files(
    kind: str, elsewhere: bool, file_systems: FileSystems
) -> None:
    root = file_systems[kind]
    clones = shares_blocks(root)
    source_root = file_systems["tmpfs" if kind != "tmpfs" else HERE] if elsewhere else root

    @settings(deadline=None, max_examples=15)
    @given(cases)
    @example(TWICE)
    def check(case: Case) -> None:
        with (
            fresh_folder(root) as folder,
            fresh_folder(source_root) as source_folder,
            sources_in(source_folder, case.contents) as readers,
        ):
            expected = [plain_file(shard, readers) for shard in case.shards]
            for reader in readers:
                reader.read_by(case.reading)
            receipts = executed(case, readers, folder)
            for shard, receipt, raw in zip(case.shards, receipts, expected, strict=True):
                assert (folder / receipt.attempt).read_bytes() == raw
                assert receipt.size == len(raw)
                _require_digests(receipt, shard, raw, case.piece_bytes)
                if not case.clone or not clones or elsewhere:
                    assert all(digest for _, digest in receipt.tensors)
            _require_nothing_else(folder, receipts)

    with small_limits(), counted_transfers() as moved:
        check()
    reads = elsewhere or not clones  # else there is an example of which all is shared
    assert (moved[DIRECT_READ] > 0) is takes_direct_io(source_root) or not reads
    assert (moved[DIRECT_WRITTEN] > 0) is takes_direct_io(root) or not reads
    assert (moved[SHARED] > 0) is clones


def _require_nothing_else(folder: Path, receipts: Sequence[Receipt]) -> None:
    found = {path.name for path in folder.iterdir() if not path.name.startswith("source-")}
    assert {name for name in found if (folder / name).is_file()} == {receipt.attempt for receipt in receipts}


@pytest.mark.parametrize("kind", ["tmpfs", "xfs"])
def test_together_and_alone_the_files_are_the_same(kind: str, file_systems: FileSystems) -> None:
    @settings(deadline=None, max_examples=15)
    @given(cases)
    @example(TWICE)
    def check(case: Case) -> None:
        with fresh_folder(file_systems[kind]) as folder, sources_in(folder, case.contents) as readers:
            together = executed(case, readers, folder)
            for shard, receipt in zip(case.shards, together, strict=True):
                (alone,) = executed(replace(case, shards=[shard]), readers, folder)
                assert (folder / alone.attempt).read_bytes() == (folder / receipt.attempt).read_bytes()
                assert (alone.digest, alone.tensors) == (receipt.digest, receipt.tensors)

    with small_limits():
        check()


SCALED = shard_of([("copy", 0, 8, 12 * PAGE)], remainder=8)
SCALED = replace(
    SCALED,
    operations=(
        Scale(
            offset=SCALED.operations[0].offset,
            length=12 * PAGE,
            term=Term(source=1, source_offset=8, dtype=DType.BF16),
            factor=0.7,
            compute=DType.F32,
            target=DType.BF16,
        ),
    ),
)
"""Bytes that are scaled where they were read, from whole pages."""


@pytest.mark.parametrize("kind", [HERE, "xfs"])
def test_transforms_are_the_plain_path_s_in_every_way(
    kind: str, file_systems: FileSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are short here, so that a tensor is made in several, from pages that begin anywhere."""
    pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
    monkeypatch.setattr(fill, "STEP_BYTES", 3 * PAGE)

    @settings(deadline=None, max_examples=40)
    @given(transformed_shards(), cases)
    @example(SCALED, TWICE)
    def check(shard: ShardPlan, case: Case) -> None:
        with (
            fresh_folder(file_systems[kind]) as folder,
            sources_in(folder, case.contents) as readers,
        ):
            expected = plain_file(shard, readers)
            for reader in readers:
                reader.read_by(case.reading)
            (receipt,) = executed(replace(case, shards=[shard]), readers, folder)
            assert (folder / receipt.attempt).read_bytes() == expected

    with small_limits(), counted_transfers() as moved:
        check()
    assert (moved[DIRECT_READ] > 0) is takes_direct_io(file_systems[kind])
