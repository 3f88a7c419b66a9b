"""The way that is chosen: the usual one, unless a trial shows it plainly slower or missing."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.storage.local import attempt as local_attempt
from distexpand.storage.local import io_path, trial
from distexpand.storage.local.direct import PAGE
from distexpand.storage.local.file_systems import file_system_of, usual_way
from distexpand.storage.local.io_path import IoPath, choose_reading, choose_writing
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.trial import try_reading, try_writing
from distexpand.storage.local.way import Way
from distexpand.storage.memory import BytesReader
from tests.storage.contract import noise, read
from tests.support.mounts import CLONING, FileSystems, fresh_folder
from tests.support.transfers import (
    DIRECT_READ,
    DIRECT_WRITTEN,
    READ,
    WRITTEN,
    counted_transfers,
    takes_direct_io,
)

MEBIBYTE = 2**20

seconds = st.floats(1e-6, 100)


@given(
    st.sampled_from(["ext4", "xfs", "btrfs", "nfs4", "tmpfs", "overlay", "fuse.s3fs", ""]),
    st.lists(st.dictionaries(st.sampled_from(list(Way)), seconds), min_size=2, max_size=2),
)
@settings(deadline=None)
def test_the_usual_way_is_kept_unless_it_is_plainly_slower_or_missing(
    file_system: str, rounds: list[Mapping[Way, float]]
) -> None:
    usual = usual_way(file_system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io_path, "file_system_of", lambda _: file_system)
        results = iter(rounds)
        patch.setattr(io_path, "try_writing", lambda _: next(results))
        chosen = choose_writing(Path("/out"), trial=True)
    best = {
        way: min(found[way] for found in rounds if way in found)
        for way in Way
        if any(way in found for found in rounds)
    }
    (other,) = set(Way) - {usual}
    plainly_slower = usual in best and other in best and best[other] * 2 < best[usual]
    missing = usual not in best and other in best
    assert chosen.way is (other if plainly_slower or missing else usual)
    assert chosen.rates == {way: pytest.approx(trial.TRIAL_BYTES / value) for way, value in best.items()}
    assert chosen.file_system == file_system


def test_without_a_trial_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(3 * PAGE))
    reader = LocalReader(tmp_path / "file")
    kind = file_system_of(tmp_path)
    with counted_transfers() as moved:
        (reading,) = choose_reading([reader], trial=False)
        writing = choose_writing(tmp_path, trial=False)
        assert sum(moved[how] for how in (READ, WRITTEN, DIRECT_READ, DIRECT_WRITTEN)) == 0
    assert writing == IoPath(file_system=kind, way=usual_way(kind))
    assert reading == IoPath(file_system=kind, way=reader.read_by(reading.way))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    reader.close()


@pytest.fixture
def small_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_BLOCK", MEBIBYTE // 2)
    for module in (trial, io_path):
        monkeypatch.setattr(module, "TRIAL_BYTES", 2 * MEBIBYTE)


@pytest.fixture
def reader(any_place: Path) -> Iterator[LocalReader]:
    """A file that is just large enough for the trials' parts, each of which is read once."""
    (any_place / "file").write_bytes(noise(16 * MEBIBYTE + 7))
    reader = LocalReader(any_place / "file")
    yield reader
    reader.close()


@pytest.mark.usefixtures("small_trial")
def test_trials_move_as_much_each_way_and_leave_nothing(any_place: Path, reader: LocalReader) -> None:
    ways = set(Way) if takes_direct_io(any_place) else {Way.BUFFERED}
    each = 2 * MEBIBYTE
    with counted_transfers() as moved:
        assert try_writing(any_place).keys() == ways
        assert (moved[DIRECT_WRITTEN], moved[WRITTEN]) == (each * (Way.DIRECT in ways), each)
        assert try_reading(reader, 5).keys() == ways
        assert (moved[DIRECT_READ], moved[READ]) == (each * (Way.DIRECT in ways), each)
        chosen = [choose_writing(any_place, trial=True), *choose_reading([reader], trial=True)]
        assert moved[WRITTEN] == moved[READ] == 3 * each
    for path in chosen:
        assert path.way in ways
        assert path.rates.keys() == ways
        assert all(rate > 0 for rate in path.rates.values())
    assert reader.read_by(chosen[1].way) is chosen[1].way
    assert read(reader, 1, reader.size - 1) == noise(reader.size)[1:]
    assert [path.name for path in any_place.iterdir()] == ["file"]


@pytest.mark.usefixtures("small_trial")
def test_what_is_read_in_a_trial_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the cache would have it."""
    (tmp_path / "file").write_bytes(noise(16 * MEBIBYTE))
    reader, asked = LocalReader(tmp_path / "file"), []
    real = LocalReader.read_into

    def reading(self: LocalReader, offset: int, buffer: memoryview) -> None:
        asked.append((offset, offset + len(buffer)))
        real(self, offset, buffer)

    monkeypatch.setattr(LocalReader, "read_into", reading)
    choose_reading([reader], trial=True)
    asked.sort()
    assert all(stop <= start for (_, stop), (start, _) in pairwise(asked))
    assert sum(stop - start for start, stop in asked) == 4 * 2 * MEBIBYTE
    reader.close()


@pytest.mark.usefixtures("small_trial")
@pytest.mark.parametrize("how", ["small", "sparse"])
def test_files_that_tell_nothing_are_not_tried(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(16 * MEBIBYTE - 1) if how == "small" else b"")
    if how == "sparse":
        with path.open("r+b") as file:
            file.truncate(64 * MEBIBYTE)
    reader = LocalReader(path)
    with counted_transfers() as moved:
        (chosen,) = choose_reading([reader], trial=True)
        assert moved[READ] == moved[DIRECT_READ] == 0
    assert chosen.rates == {}
    reader.close()


@pytest.mark.usefixtures("small_trial")
@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_trial_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    done = []

    def failing(_: int, path: Path, offset: int, __: memoryview) -> None:
        done.append(offset)
        if len(done) > after:
            raise StorageError(f"{path}: the disk is broken")

    monkeypatch.setattr(local_attempt, "write_fully", failing)
    chosen = choose_writing(tmp_path, trial=True)
    assert list(tmp_path.iterdir()) == []
    assert len(done) > after
    assert chosen.way is usual_way(chosen.file_system)


@pytest.mark.usefixtures("small_trial")
def test_a_file_system_without_room_for_a_trial(tmp_path: Path) -> None:
    assert choose_writing(tmp_path / "missing", trial=True).rates == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", CLONING)
def test_each_file_system_has_its_own_way_and_its_files_have_it_together(
    kind: str, file_systems: FileSystems
) -> None:
    with fresh_folder(file_systems[kind]) as disk, fresh_folder(file_systems["tmpfs"]) as memory:
        readers = []
        for folder in (disk, memory):
            for number in range(2):
                (folder / f"{number}").write_bytes(noise(3 * PAGE + 1))
                readers.append(LocalReader(folder / f"{number}"))
        chosen = choose_reading([BytesReader(b""), readers[2], *readers[:2], readers[3]], trial=False)
        assert [(path.file_system, path.way) for path in chosen] == [
            ("tmpfs", Way.BUFFERED),
            (kind, Way.DIRECT),
        ]
        assert [reader.alignment for reader in readers] == [PAGE, PAGE, 1, 1]
        for reader in readers:
            assert read(reader, 0, reader.size) == noise(3 * PAGE + 1)
            reader.close()


def test_where_a_file_can_not_be_read_directly_it_is_told_so(
    monkeypatch: pytest.MonkeyPatch, file_systems: FileSystems
) -> None:
    with fresh_folder(file_systems["xfs"]) as folder:
        (folder / "file").write_bytes(noise(3 * PAGE))
        reader = LocalReader(folder / "file")
        monkeypatch.setattr("distexpand.storage.local.direct._O_DIRECT", 0)
        assert choose_reading([reader], trial=False) == (IoPath(file_system="xfs", way=Way.BUFFERED),)
        reader.close()


def test_words() -> None:
    rates = {Way.DIRECT: 2.54e9, Way.BUFFERED: 990e6}
    assert str(IoPath(file_system="xfs", way=Way.DIRECT)) == "direct (xfs)"
    assert str(IoPath(file_system="", way=Way.BUFFERED)) == "buffered (unknown file system)"
    tried = str(IoPath(file_system="nfs4", way=Way.DIRECT, rates=rates))
    assert tried == "direct (nfs4, buffered 1.0 GB/s, direct 2.5 GB/s)"
    assert re.fullmatch(r"\w+ \(.+\)", str(choose_writing(Path(), trial=False)))


def test_nothing_is_chosen_for_no_files() -> None:
    assert choose_reading([], trial=True) == choose_reading([BytesReader(b"x")], trial=True) == ()
