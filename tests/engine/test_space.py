"""The space that a plan is said to take: what is written of it, within a block or two for each run."""

import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distexpand.engine import space
from distexpand.engine.space import disk_bytes
from distexpand.planning.congruence import SHARED_BLOCK
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Copy, Zero
from tests.engine.paged_shards import (
    PAGE,
    SOURCE_BYTES,
    SOURCES,
    groups,
    shard_of,
    source_contents,
    sources_in,
)
from tests.engine.shards import MemoryReader
from tests.engine.test_every_way import Case, cases, executed
from tests.storage.contract import noise
from tests.support.mounts import CLONING, FileSystems, fresh_folder
from tests.support.transfers import SHARED, counted_transfers, small_limits


def plain_readers() -> list[MemoryReader]:
    return [MemoryReader(noise(SOURCE_BYTES, seed)) for seed in range(SOURCES)]


@given(groups())
@settings(deadline=None)
def test_where_nothing_is_shared_all_but_zeros_is_taken(shards: list[ShardPlan]) -> None:
    zeros = sum(op.length for shard in shards for op in shard.operations if isinstance(op, Zero))
    assert disk_bytes(shards, plain_readers()) == sum(shard.size for shard in shards) - zeros


@given(groups(), source_contents)
@settings(deadline=None, max_examples=30)
def test_holes_take_nothing_and_data_is_counted_exactly(
    shards: list[ShardPlan], contents: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, sources_in(Path(folder), contents) as readers:
        expected = 0
        for shard in shards:
            expected += len(shard.header)
            for operation in shard.operations:
                if isinstance(operation, Copy):
                    reader = readers[operation.source]
                    parts = reader.data_ranges(operation.source_offset, operation.length)
                    expected += sum(length for _, length in parts)
                elif not isinstance(operation, Zero):
                    expected += operation.length
        assert disk_bytes(shards, readers) == expected


@given(groups(), st.sets(st.integers(0, SOURCES - 1)))
@settings(deadline=None)
def test_sharing_never_takes_more_and_only_of_what_is_shared(
    shards: list[ShardPlan], shared: Collection[int]
) -> None:
    readers = plain_readers()
    whole, less = disk_bytes(shards, readers), disk_bytes(shards, readers, shared=shared)
    congruent = sum(
        operation.length
        for shard in shards
        for operation in shard.operations
        if isinstance(operation, Copy)
        and operation.source in shared
        and (operation.offset - operation.source_offset) % SHARED_BLOCK == 0
    )
    assert whole - congruent <= less <= whole
    assert disk_bytes(shards, readers, shared=()) == whole


@pytest.mark.parametrize("kind", CLONING)
def test_a_clone_takes_no_more_than_it_was_said_to(kind: str, file_systems: FileSystems) -> None:
    """Within the blocks that its header and the ends of what is written don't fill."""

    @settings(deadline=None, max_examples=20)
    @given(cases)
    @example(LARGE_AND_SMALL)
    def check(case: Case) -> None:
        with fresh_folder(file_systems[kind]) as folder, sources_in(folder, case.contents) as readers:
            said = disk_bytes(case.shards, readers, shared=range(SOURCES) if case.clone else ())
            before = moved[SHARED]
            executed(case, readers, folder)
            written = sum(shard.size for shard in case.shards) - (moved[SHARED] - before)
            zeros = sum(op.length for shard in case.shards for op in shard.operations if isinstance(op, Zero))
            holes = sum(PAGE * count for _, gaps in case.contents for _, count in gaps)
            if not holes:
                assert written - zeros <= said

    with small_limits(), counted_transfers() as moved:
        check()
    assert moved[SHARED] > 0


LARGE_AND_SMALL = Case(
    shards=[
        shard_of([("copy", 0, 100, 11 * PAGE), ("copy", 1, 100 + 11 * PAGE, 2 * PAGE - 1)], remainder=100)
    ],
    contents=[(1, []), (2, [])],
    clone=True,
)


def test_runs_too_short_to_be_shared_are_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of very many small tensors, none next to its neighbour in the source, is copied."""
    monkeypatch.setattr(space, "LEAST_SHARED", 6 * PAGE)
    tensors = [("copy", 0, 6 * PAGE * number, 5 * PAGE) for number in range(6)]
    shard = shard_of(tensors, remainder=0)
    apart = [
        shard_of([tensor], remainder=tensor[1] % PAGE, name=f"m{number}")
        for number, tensor in enumerate(tensors)
    ]
    for shards in ([shard], apart):
        readers = plain_readers()
        assert disk_bytes(shards, readers, shared=[0]) == disk_bytes(shards, readers)
