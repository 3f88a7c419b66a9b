"""Direct I/O gives the bytes that the page cache gives, wherever run, buffer and file end, or steps aside."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.storage.local import attempt as local_attempt
from distexpand.storage.local import direct
from distexpand.storage.local.direct import PAGE, direct_part
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.way import Way
from tests.storage.contract import noise, read
from tests.support.mounts import KINDS, FileSystems, fresh_folder
from tests.support.transfers import (
    DIRECT_READ,
    DIRECT_WRITTEN,
    LEAST_BYTES,
    READ,
    buffer_for,
    counted_transfers,
    filled,
    is_direct,
    small_limits,
    takes_direct_io,
)

SIZE = 40 * PAGE + 1234
"""The file ends in the middle of a page."""

shifts = st.sampled_from([0, 0, 0, 1, 8, 512, PAGE - 1])
"""Of a buffer against its place in the file; only without any does a run move directly."""


@pytest.fixture(autouse=True)
def _small_limits():
    with small_limits():
        yield


@pytest.fixture
def moved():
    with counted_transfers() as moved:
        yield moved


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@given(st.integers(0, 10**9), st.integers(0, 10 * PAGE), shifts)
@settings(deadline=None)
def test_what_can_move_directly_is_all_whole_pages(offset: int, length: int, shift: int) -> None:
    buffer = buffer_for(offset, length, shift=shift)
    start, stop = direct_part(offset, buffer)
    if length < LEAST_BYTES or shift:
        assert (start, stop) == (0, 0)
        return
    assert 0 <= start < PAGE
    assert length - PAGE < stop <= length
    assert (offset + start) % PAGE == (offset + stop) % PAGE == 0
    assert direct._address(buffer[start:]) % PAGE == 0
    assert direct_part(offset, buffer.toreadonly()) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_range_is_read_into_any_buffer(kind: str, file_systems: FileSystems, moved) -> None:
    raw = noise(SIZE)
    with fresh_folder(file_systems[kind]) as folder:
        (folder / "file").write_bytes(raw)
        reader = LocalReader(folder / "file")
        taken = reader.read_by(Way.DIRECT)
        assert taken is (Way.DIRECT if takes_direct_io(folder) else Way.BUFFERED)

        @settings(deadline=None, max_examples=60)
        @given(st.integers(0, SIZE), st.integers(0, SIZE), shifts)
        def check(one: int, other: int, shift: int) -> None:
            offset, stop = min(one, other), max(one, other)
            buffer = buffer_for(offset, stop - offset, shift=shift)
            reader.read_into(offset, buffer)
            assert buffer == raw[offset:stop]

        check()
        assert read(reader, SIZE - 3 * PAGE, 3 * PAGE) == raw[-3 * PAGE :]
        assert (moved[DIRECT_READ] > 0) is (taken is Way.DIRECT)
        for offset, length in ((SIZE - PAGE, PAGE + 1), (SIZE - 5 * PAGE, 6 * PAGE), (SIZE, 3 * PAGE)):
            with pytest.raises(StorageError, match="ends at byte"):
                read(reader, offset, length)
        reader.close()


def _ranges(seed: int, cuts: int) -> list[tuple[int, int]]:
    """Return neighbouring ranges that cover the file, in a random order."""
    random = Random(seed)
    bounds = sorted({0, SIZE, *(random.randrange(SIZE) for _ in range(cuts))})
    ranges = list(pairwise(bounds))
    random.shuffle(ranges)
    return ranges


@pytest.mark.parametrize("kind", KINDS)
def test_neighbouring_ragged_ends_meet(
    kind: str, file_systems: FileSystems, monkeypatch: pytest.MonkeyPatch, moved
) -> None:
    raw, root = noise(SIZE), file_systems[kind]

    @settings(deadline=None, max_examples=25)
    @given(st.integers(0, 10**9), st.integers(1, 20), st.sampled_from([2, 5, 1000]), st.lists(shifts))
    def check(seed: int, cuts: int, most_ends: int, own_shifts: list[int]) -> None:
        monkeypatch.setattr(local_attempt, "_MOST_ENDS", most_ends)
        work = [
            (start, stop, own_shifts[i % len(own_shifts)] if own_shifts else 0)
            for i, (start, stop) in enumerate(_ranges(seed, cuts))
        ]
        with fresh_folder(root) as folder, ThreadPoolExecutor(4) as pool:
            with LocalOutput(folder, way=Way.DIRECT).begin("m", SIZE) as attempt:
                if seed % 2:
                    attempt.reserve(0, SIZE)
                list(
                    pool.map(lambda w: attempt.write(w[0], filled(w[0], raw[w[0] : w[1]], shift=w[2])), work)
                )
                attempt.finish()
            assert (folder / attempt.name).read_bytes() == raw

    check()
    assert (moved[DIRECT_WRITTEN] > 0) is takes_direct_io(root)


def _flush_by_reading(attempt: local_attempt.LocalAttempt) -> None:
    assert read(attempt, 5, 3 * PAGE) == b"\7" * (3 * PAGE)


def _flush_by_writing_more(attempt: local_attempt.LocalAttempt) -> None:
    for start in range(4 * PAGE, 400 * PAGE, 4 * PAGE):
        attempt.write(start + 1, filled(start + 1, b"\7" * 3 * PAGE))


@pytest.mark.parametrize(
    "flush", [_flush_by_reading, _flush_by_writing_more, local_attempt.LocalAttempt.finish]
)
def test_ragged_ends_wait_until_they_are_asked_for_or_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush
) -> None:
    if not takes_direct_io(tmp_path):
        pytest.skip("no direct I/O on this file system")
    monkeypatch.setattr(local_attempt, "_MOST_ENDS", 20)
    with LocalOutput(tmp_path, way=Way.DIRECT).begin("m", 500 * PAGE) as attempt:
        attempt.write(5, filled(5, b"\7" * (3 * PAGE)))
        path = tmp_path / attempt.name
        assert path.read_bytes()[: 4 * PAGE] == bytes(PAGE) + b"\7" * (2 * PAGE) + bytes(PAGE)
        flush(attempt)
        assert path.read_bytes()[: 3 * PAGE + 6] == bytes(5) + b"\7" * (3 * PAGE) + b"\0"


def test_reading_goes_back_to_the_page_cache(tmp_path: Path, moved) -> None:
    if not takes_direct_io(tmp_path):
        pytest.skip("no direct I/O on this file system")
    (tmp_path / "file").write_bytes(noise(SIZE))
    before, reader = open_files(), LocalReader(tmp_path / "file")
    assert reader.alignment == 1
    for _ in range(2):
        assert reader.read_by(Way.DIRECT) is Way.DIRECT
        assert (reader.alignment, open_files()) == (PAGE, before + 2)
    read(reader, 0, SIZE)
    assert moved[DIRECT_READ] == SIZE // PAGE * PAGE
    for _ in range(2):
        assert reader.read_by(Way.BUFFERED) is Way.BUFFERED
        assert (reader.alignment, open_files()) == (1, before + 1)
    moved.clear()
    assert read(reader, 0, SIZE) == noise(SIZE)
    assert (moved[DIRECT_READ], moved[READ]) == (0, SIZE)
    reader.read_by(Way.DIRECT)
    reader.close()
    assert open_files() == before


def _refuse_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def refusing(path, flags, *mode, **folder):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags, *mode, **folder)

    monkeypatch.setattr(os, "open", refusing)


def _refuse_to_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open files for direct I/O, and then take none: as with a device of larger blocks than a page."""

    def refusing(real):
        def move(descriptor, *arguments):
            if is_direct(descriptor):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return real(descriptor, *arguments)

        return move

    monkeypatch.setattr(os, "preadv", refusing(os.preadv))
    monkeypatch.setattr(os, "pwrite", refusing(os.pwrite))
    monkeypatch.setattr(os, "pwritev", refusing(os.pwritev))


def _have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_O_DIRECT", 0)


@pytest.mark.parametrize("refuse", [_refuse_to_open, _refuse_to_move, _have_none])
def test_where_direct_reading_is_refused_the_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse
) -> None:
    (tmp_path / "file").write_bytes(noise(SIZE))
    refuse(monkeypatch)
    before, reader = open_files(), LocalReader(tmp_path / "file")
    assert reader.read_by(Way.DIRECT) is Way.BUFFERED
    assert (reader.alignment, open_files()) == (1, before + 1)
    assert read(reader, 0, SIZE) == noise(SIZE)
    reader.close()


@pytest.mark.parametrize(
    "refuse",
    [
        _refuse_to_open,
        _refuse_to_move,
        _have_none,
    ],
)
def test_where_direct_writing_is_refused_the_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse
) -> None:
    refuse(monkeypatch)
    with LocalOutput(tmp_path, way=Way.DIRECT).begin("m", SIZE) as attempt:
        attempt.write(0, filled(0, noise(SIZE)))
        attempt.finish()
    assert (tmp_path / attempt.name).read_bytes() == noise(SIZE)


def test_a_file_that_was_replaced_since_it_was_opened_is_not_read(tmp_path: Path) -> None:
    path, raw = tmp_path / "file", noise(SIZE)
    path.write_bytes(raw)
    reader = LocalReader(path)
    (tmp_path / "other").write_bytes(bytes(SIZE))
    (tmp_path / "other").replace(path)
    before = open_files()
    assert reader.read_by(Way.DIRECT) is Way.BUFFERED
    assert open_files() == before
    assert read(reader, 0, SIZE) == raw
    reader.close()


def test_empty_and_short_files_are_read(tmp_path: Path) -> None:
    for length in (0, 1, 511, PAGE, PAGE + 1):
        path = tmp_path / f"{length}"
        path.write_bytes(noise(length))
        reader = LocalReader(path)
        reader.read_by(Way.DIRECT)
        assert read(reader, 0, length) == noise(length)
        reader.close()
