"""Bytes that several shards have: read once, written everywhere, each shard whole in its turn."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.engine import sharing
from distexpand.engine.receipt import Receipt
from distexpand.engine.shard import ShardEngine
from distexpand.engine.sharing import MOST_TOGETHER, groups_that_share
from distexpand.errors import InterruptedRunError, StorageError
from distexpand.planning.model import ShardPlan
from distexpand.storage.local.directories import LocalOutput
from tests.engine.paged_shards import PAGE, SOURCE_BYTES, plain_file, shard_of, sources_in
from tests.engine.shards import MemoryReader
from tests.storage.contract import noise
from tests.support.mounts import FileSystems, fresh_folder
from tests.support.transfers import LEAST_BYTES, SHARED, counted_transfers, small_limits


@pytest.fixture(autouse=True)
def _small_limits():
    with small_limits():
        yield


class CountingReader(MemoryReader):
    """Counts how often each byte is read, and may fail where it is told to."""

    def __init__(self, data: bytes, *, broken: int | None = None) -> None:
        super().__init__(data)
        self.times = Counter[int]()
        self._broken = broken
        self._lock = threading.Lock()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        with self._lock:
            self.times.update(range(offset, offset + len(buffer)))
        if self._broken is not None and offset <= self._broken < offset + len(buffer):
            raise StorageError("the disk is broken")
        super().read_into(offset, buffer)


def execute(
    shards: Sequence[ShardPlan],
    readers: Sequence[MemoryReader],
    folder: Path,
    *,
    piece_bytes: int = 4 * PAGE,
    stop: threading.Event | None = None,
    done=lambda _: None,
) -> list[Receipt]:
    receipts: list[Receipt] = []

    def take(receipt: Receipt) -> None:
        receipts.append(receipt)
        done(receipts)

    with ThreadPoolExecutor(3) as pool:
        engine = ShardEngine(readers, pool, stop or threading.Event(), piece_bytes=piece_bytes)
        engine.execute_together(shards, LocalOutput(folder), lambda _: None, take)
    return receipts


def layers(*sources: int, start: int = 0, name: str = "m") -> ShardPlan:
    """Return a shard of layers of eight pages, by their number in the source."""
    tensors = [("copy", 0, start + 8 * PAGE * source, 8 * PAGE) for source in sources]
    return shard_of(tensors, remainder=start % PAGE, name=name)


def test_every_byte_that_shards_have_in_common_is_read_once(tmp_path: Path) -> None:
    shards = [layers(0, 1, 2, name="a"), layers(1, 2, 3, name="b"), layers(3, 0, 0, name="c")]
    reader = CountingReader(noise(SOURCE_BYTES))
    receipts = execute(shards, [reader], tmp_path)
    assert [receipt.shard for receipt in receipts] == ["a", "b", "c"]
    for shard, receipt in zip(shards, receipts, strict=True):
        assert (tmp_path / receipt.attempt).read_bytes() == plain_file(shard, [MemoryReader(reader.data)])
    assert reader.times == Counter(range(32 * PAGE))


def test_apart_they_read_each_byte_as_often_as_they_have_it(tmp_path: Path) -> None:
    """So that the test above isn't true by itself."""
    reader = CountingReader(noise(SOURCE_BYTES))
    for shard in (layers(0, 1), layers(1, 2)):
        execute([shard], [reader], tmp_path)
    expected = Counter(range(24 * PAGE))
    expected.update(range(8 * PAGE, 16 * PAGE))
    assert reader.times == expected


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), max_size=24), st.integers(1, 40))
@settings(deadline=None, max_examples=80)
def test_groups_are_all_shards_in_order_and_no_group_is_too_large(
    numbers: list[list[int]], most_layers: int
) -> None:
    shards = [layers(*own, name=f"m{number}") for number, own in enumerate(numbers)]
    most = most_layers * 9 * PAGE
    made = groups_that_share(shards, most_bytes=most)
    assert [shard for group in made for shard in group] == shards
    for group in made:
        assert 1 <= len(group) <= MOST_TOGETHER
        assert len(group) == 1 or sum(shard.size for shard in group) <= most


def test_shards_that_share_nothing_stay_alone_and_those_that_do_are_together() -> None:
    apart, alike = (
        [layers(n, name=f"m{n}") for n in range(4)],
        [layers(1, n, name=f"m{n}") for n in (0, 2, 3)],
    )
    assert groups_that_share(apart, most_bytes=10**9) == [[shard] for shard in apart]
    assert groups_that_share(alike, most_bytes=10**9) == [alike]
    assert groups_that_share(alike, most_bytes=alike[0].size * 2 + PAGE) == [alike[:2], alike[2:]]
    assert groups_that_share([], most_bytes=1) == []


def test_small_copies_make_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST_READ", 8 * PAGE + 1)
    alike = [layers(1, name="a"), layers(1, name="b")]
    assert groups_that_share(alike, most_bytes=10**9) == [[shard] for shard in alike]
    assert LEAST_BYTES < 8 * PAGE


def test_each_shard_is_handed_in_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    """While those behind it are still under way: an interruption then costs only them."""
    stop = threading.Event()
    shards = [layers(0, 1, name="a"), layers(1, 2, 3, 3, 0, name="b")]

    def then_stop(receipts: list[Receipt]) -> None:
        assert (tmp_path / receipts[0].attempt).read_bytes() == plain_file(shards[0], [MemoryReader(raw)])
        stop.set()

    raw, handed = noise(SOURCE_BYTES), []

    class Slow(MemoryReader):
        """Waits, with what the second shard alone has, for the first to be handed in."""

        def read_into(self, offset: int, buffer: memoryview) -> None:
            if offset >= 16 * PAGE:
                assert stop.wait(30)
            super().read_into(offset, buffer)

    with pytest.raises(InterruptedRunError):
        execute(shards, [Slow(raw)], tmp_path, stop=stop, done=lambda r: (handed.append(r[-1]), then_stop(r)))
    assert [receipt.shard for receipt in handed] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == [handed[0].attempt]


@pytest.mark.parametrize(("broken", "whole"), [(3, ["a", "b"]), (0, []), (1, []), (2, ["a"])])
def test_a_failure_takes_only_those_that_are_not_whole(tmp_path: Path, broken: int, whole: list[str]) -> None:
    shards = [layers(0, 1, name="a"), layers(1, 2, name="b"), layers(2, 3, name="c")]
    reader = CountingReader(noise(SOURCE_BYTES), broken=8 * PAGE * broken + 5)
    handed: list[Receipt] = []
    with pytest.raises(StorageError, match="the disk is broken"):
        execute(shards, [reader], tmp_path, done=lambda receipts: handed.append(receipts[-1]))
    assert [receipt.shard for receipt in handed] == whole
    assert {path.name for path in tmp_path.iterdir()} == {receipt.attempt for receipt in handed}
    for shard, receipt in zip(shards, handed, strict=False):
        assert (tmp_path / receipt.attempt).read_bytes() == plain_file(shard, [MemoryReader(reader.data)])


def test_an_attempt_that_can_not_be_begun_takes_the_others_with_it(tmp_path: Path) -> None:
    shards = [layers(0, name="a"), layers(1, name="missing/b")]
    with pytest.raises(StorageError, match="can't create"):
        execute(shards, [MemoryReader(noise(SOURCE_BYTES))], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_copies_share_the_output_s_own_first_one(
    kind: str, tmp_path: Path, file_systems: FileSystems
) -> None:
    shards = [layers(0, 1, start=100, name="a"), layers(1, 1, 2, start=100, name="b")]
    with (
        fresh_folder(file_systems[kind]) as folder,
        sources_in(tmp_path, [(1, []), (2, [])]) as readers,
        counted_transfers() as moved,
        ThreadPoolExecutor(2) as pool,
    ):
        receipts: list[Receipt] = []
        engine = ShardEngine(readers, pool, threading.Event(), piece_bytes=8 * PAGE)
        output = LocalOutput(folder, shares=True)
        engine.execute_together(shards, output, lambda _: None, receipts.append)
        # Of each copy of layer 1 the page at either end is written: they begin 100 bytes into one.
        assert moved[SHARED] == 2 * 7 * PAGE
        for shard, receipt in zip(shards, receipts, strict=True):
            assert (folder / receipt.attempt).read_bytes() == plain_file(shard, readers)
            assert all(digest for _, digest in receipt.tensors), "they were read, once"
