"""Sharing blocks: whole ones, with sources and other attempts, and nothing where it can't be."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.planning.congruence import SHARED_BLOCK
from distexpand.storage.local import direct
from distexpand.storage.local.clone import can_clone, clone_range
from distexpand.storage.local.direct import PAGE
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.way import Way
from distexpand.storage.memory import BytesReader
from tests.storage.contract import noise, read
from tests.support.mounts import CLONING, HERE, KINDS, FileSystems, fresh_folder, shares_blocks, used_bytes
from tests.support.transfers import SHARED, counted_transfers, filled, small_limits

SIZE = 40 * PAGE + 1234
MEBIBYTE = 2**20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source_kind", [HERE, *CLONING])
def test_files_of_one_file_system_can_share_where_it_can(
    kind: str, source_kind: str, file_systems: FileSystems
) -> None:
    with fresh_folder(file_systems[source_kind]) as there, fresh_folder(file_systems[kind]) as folder:
        (there / "source").write_bytes(noise(SIZE))
        reader = LocalReader(there / "source")
        found = can_clone(reader.descriptor, folder, block=SHARED_BLOCK)
        assert not can_clone(reader.descriptor, folder, block=SHARED_BLOCK // 2), "its blocks are larger"
        assert list(folder.iterdir()) == []
        assert found is (kind == source_kind and shares_blocks(folder))
        assert not can_clone(reader.descriptor, folder / "missing", block=SHARED_BLOCK)
        reader.close()


@pytest.mark.parametrize("kind", CLONING)
@pytest.mark.parametrize("way", Way)
def test_what_is_shared_is_as_much_as_can_be_and_the_same_bytes(
    kind: str, way: Way, file_systems: FileSystems
) -> None:
    raw = noise(SIZE)
    places = st.integers(0, SIZE)

    @settings(deadline=None, max_examples=60)
    @given(places, places, st.one_of(places, st.none()), st.booleans())
    def check(one: int, other: int, free_offset: int | None, from_attempt: bool) -> None:
        source_offset, stop = min(one, other), max(one, other)
        length = stop - source_offset
        offset = source_offset % PAGE if free_offset is None else free_offset
        with fresh_folder(file_systems[kind]) as folder:
            output = LocalOutput(folder, way=way, shares=True)
            (folder / "source").write_bytes(raw)
            source = output.begin("s", SIZE) if from_attempt else LocalReader(folder / "source")
            if from_attempt:
                source.write(source_offset, filled(source_offset, raw[source_offset:stop]))
            with output.begin("m", 2 * SIZE) as attempt:
                begin, end = attempt.share(source, source_offset, offset, length)
                expected = bytearray(2 * SIZE)
                expected[begin:end] = raw[source_offset + begin - offset :][: end - begin]
                assert (folder / attempt.name).read_bytes() == expected
                _require_all_whole_blocks(source_offset, offset, length, (begin, end))
            source.close()

    with small_limits():
        check()


def _require_all_whole_blocks(source_offset: int, offset: int, length: int, shared: tuple[int, int]) -> None:
    begin, end = shared
    whole = [
        start
        for start in range(-(-offset // PAGE) * PAGE, offset + length - PAGE + 1, PAGE)
        if (start - offset + source_offset) % PAGE == 0
    ]
    assert list(range(begin, end, PAGE)) == whole
    assert begin < end or begin == offset == end


@pytest.mark.parametrize(
    ("page", "cut"), [(PAGE, 20 * PAGE + 5), (4 * PAGE, 0)], ids=["between two runs", "larger pages"]
)
@pytest.mark.parametrize("kind", CLONING)
def test_ragged_ends_that_wait_are_shared_as_well(
    kind: str, page: int, cut: int, file_systems: FileSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a processor's page is 16 or 64 KiB, one that a run doesn't fill may hold whole blocks."""
    raw = noise(42 * PAGE)
    monkeypatch.setattr(direct, "PAGE", page)
    with fresh_folder(file_systems[kind]) as folder, small_limits():
        output = LocalOutput(folder, way=Way.DIRECT, shares=True)
        with output.begin("m", len(raw)) as first, output.begin("m", len(raw)) as second:
            for start, stop in ((0, cut), (cut, len(raw))):
                first.write(start, filled(start, raw[start:stop]))
            begin, end = second.share(first, 0, 0, len(raw))
            assert (begin, end) == (0, len(raw))
            same = read(second, begin, end - begin) == raw  # to show where they differ takes seconds
            assert same


def test_shared_blocks_take_no_space_and_part_when_one_changes(cloning_place: Path) -> None:
    raw = noise(8 * MEBIBYTE)
    (cloning_place / "source").write_bytes(raw)
    before = used_bytes(cloning_place)
    reader = LocalReader(cloning_place / "source")
    with LocalOutput(cloning_place, shares=True).begin("m", len(raw)) as attempt:
        assert attempt.share(reader, 0, 0, len(raw)) == (0, len(raw))
        assert used_bytes(cloning_place) - before < len(raw) / 16
        with (cloning_place / "source").open("r+b") as source:
            source.write(bytes(MEBIBYTE))
        attempt.write(4 * MEBIBYTE, memoryview(b"own"))
        attempt.finish()
    expected = raw[: 4 * MEBIBYTE] + b"own" + raw[4 * MEBIBYTE + 3 :]
    assert (cloning_place / attempt.name).read_bytes() == expected
    assert (cloning_place / "source").read_bytes() == bytes(MEBIBYTE) + raw[MEBIBYTE:]
    reader.close()


def test_an_attempt_shares_only_where_it_may_and_only_with_files(cloning_place: Path) -> None:
    (cloning_place / "source").write_bytes(noise(SIZE))
    reader = LocalReader(cloning_place / "source")
    with counted_transfers() as moved:
        with LocalOutput(cloning_place).begin("m", SIZE) as attempt:
            assert attempt.share(reader, 0, 0, SIZE) == (0, 0)
        with LocalOutput(cloning_place, shares=True).begin("m", SIZE) as attempt:
            assert attempt.share(BytesReader(noise(SIZE)), 0, 0, SIZE) == (0, 0)
            assert moved[SHARED] == 0
            assert attempt.share(reader, 0, 0, SIZE) == (0, SIZE // PAGE * PAGE)
    assert moved[SHARED] == SIZE // PAGE * PAGE
    reader.close()


def test_where_nothing_can_be_shared_nothing_is(tmp_path: Path, file_systems: FileSystems) -> None:
    for folder in (file_systems["tmpfs"], file_systems["overlay"], tmp_path):
        if shares_blocks(folder):
            continue  # temporary files may be on such a file system
        with fresh_folder(folder) as place:
            (place / "source").write_bytes(noise(SIZE))
            reader = LocalReader(place / "source")
            with LocalOutput(place, shares=True).begin("m", SIZE) as attempt:
                assert attempt.share(reader, 0, 0, SIZE) == (0, 0)
                assert (place / attempt.name).read_bytes() == bytes(SIZE)
            reader.close()


def test_a_full_disk_is_an_error_and_not_taken_for_no_sharing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fcntl, "ioctl", full)
    with pytest.raises(StorageError, match="out: can't share blocks with: No space left") as caught:
        clone_range(0, 0, PAGE, 0, 0, path="out")
    assert "--resume" in caught.value.hint
    (tmp_path / "source").write_bytes(noise(SIZE))
    reader = LocalReader(tmp_path / "source")
    with (
        pytest.raises(StorageError, match="No space left"),
        LocalOutput(tmp_path, shares=True).begin("m", SIZE) as attempt,
    ):
        attempt.share(reader, 0, 0, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    reader.close()
