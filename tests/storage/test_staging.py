"""Folders for shards on their way: with their process they end, whatever ends it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from distexpand.errors import StorageError
from distexpand.storage.local.staging import StagingFolder, remove_abandoned

HOLDING = """
import sys
from pathlib import Path
from distexpand.storage.local.staging import StagingFolder
folder = StagingFolder(Path(sys.argv[1]))
(folder.path / "shard").write_bytes(bytes(100))
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a folder, until it is killed at the end."""
    command = [sys.executable, "-c", HOLDING, str(place)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def test_a_folder_ends_with_its_context(tmp_path: Path) -> None:
    with StagingFolder(tmp_path) as folder:
        (folder.path / "shard").write_bytes(b"x")
        assert list(tmp_path.iterdir()) == [folder.path.parent]
    assert list(tmp_path.iterdir()) == []
    folder.close()


def test_only_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    other = tmp_path / "distexpand-staged-by-hand"
    other.mkdir()
    with holder(tmp_path) as (killed, left), holder(tmp_path) as (_, held):
        assert remove_abandoned(tmp_path) == 0
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "shard").exists()
        with StagingFolder(tmp_path) as own:
            assert set(tmp_path.iterdir()) == {held.parent, own.path.parent, other}
            assert (held / "shard").exists()
    assert remove_abandoned(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [other]


def test_no_link_is_followed(tmp_path: Path) -> None:
    place, precious = tmp_path / "place", tmp_path / "precious"
    place.mkdir()
    precious.mkdir()
    (precious / "weights").write_bytes(b"x")
    (place / "distexpand-staged-link").symlink_to(precious)
    assert remove_abandoned(place) == 0
    assert (precious / "weights").exists()


def test_folders_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    def work(_: int) -> None:
        for _ in range(30):
            with StagingFolder(tmp_path) as folder:
                (folder.path / "shard").write_bytes(b"x")
                assert (folder.path / "shard").read_bytes() == b"x"

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_isn_t_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone.*No such file"):
        StagingFolder(tmp_path / "gone")
