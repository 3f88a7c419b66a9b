"""What is true of local files alone: holes, space, permissions, changes under the reader's hands."""

import contextlib
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalOutput, LocalSource
from distexpand.storage.local.reader import LocalReader
from tests.storage.contract import noise, read

MEBIBYTE = 2**20


def output_in(directory):
    (directory / WORK_DIRECTORY / "attempts").mkdir(parents=True)
    return LocalOutput(directory / WORK_DIRECTORY / "attempts")


def attempts(directory):
    return list((directory / WORK_DIRECTORY / "attempts").iterdir())


@contextlib.contextmanager
def mounted(kind, options, directory):
    """Mount a small file system of a kind, or skip where that isn't allowed."""
    directory.mkdir(exist_ok=True)
    command = ["mount", "-t", kind, "-o", options, kind, str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"mounting {kind} isn't allowed here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


blocks = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3)), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(blocks, st.data())
def test_holes_of_a_real_file_are_exactly_what_was_not_written(tmp_path, written, data):
    path, size = tmp_path / "sparse", 64 * 4096 + 5
    with path.open("wb") as file:
        file.truncate(size)
        for start, count in written:
            file.seek(start * 4096)
            file.write(noise(count * 4096, start))
    whole, reader = path.read_bytes(), LocalReader(path)
    if len(whole) > reader.size - 4096 * len(written):
        assert reader.is_sparse or written
    offset = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - offset))
    rebuilt = bytearray(length)
    for start, count in reader.data_ranges(offset, length):
        rebuilt[start - offset : start - offset + count] = read(reader, start, count)
    assert rebuilt == whole[offset : offset + length]
    reader.close()


def test_a_file_that_is_all_hole_has_no_data(tmp_path):
    path = tmp_path / "hole"
    path.touch()
    os.truncate(path, 2**40)
    reader = LocalReader(path)
    if not reader.is_sparse:
        pytest.skip("this file system has no holes")
    started = time.monotonic()
    assert list(reader.data_ranges(0, 2**40)) == []
    assert time.monotonic() - started < 1
    reader.close()


def test_an_attempt_takes_no_space_until_it_is_reserved(tmp_path):
    with output_in(tmp_path).begin("shard", 8 * MEBIBYTE) as attempt:
        (path,) = attempts(tmp_path)
        assert path.stat().st_size == 8 * MEBIBYTE
        assert path.stat().st_blocks * 512 < MEBIBYTE
        attempt.reserve(0, 8 * MEBIBYTE)
        assert path.stat().st_blocks * 512 >= 8 * MEBIBYTE


def test_reserving_writes_nothing_where_the_file_system_can_not_reserve(tmp_path):
    """The C library's own function would write into each block instead."""
    with (
        mounted("ramfs", "mode=0755", tmp_path / "ram") as directory,
        output_in(directory).begin("shard", 8 * MEBIBYTE) as attempt,
    ):
        attempt.reserve(0, 8 * MEBIBYTE)
        assert attempts(directory)[0].stat().st_blocks == 0
        attempt.write(MEBIBYTE, memoryview(b"data"))
        assert read(attempt, MEBIBYTE - 1, 6) == b"\0data\0"


@pytest.mark.parametrize(
    "act",
    [
        lambda attempt: attempt.reserve(0, 4 * MEBIBYTE),
        lambda attempt: attempt.write(0, memoryview(noise(4 * MEBIBYTE))),
    ],
    ids=["reserve", "write"],
)
def test_no_space(tmp_path, act):
    with mounted("tmpfs", "size=1m", tmp_path / "small") as directory:
        output = output_in(directory)
        with output.begin("shard", 4 * MEBIBYTE) as attempt:
            with pytest.raises(StorageError, match="No space left on device") as error:
                act(attempt)
            assert "--resume" in error.value.hint
            assert str(directory) in error.value.message


@contextlib.contextmanager
def files_limited_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_files_limited_in_size(tmp_path):
    output = output_in(tmp_path)
    with files_limited_to(MEBIBYTE), pytest.raises(StorageError, match="File too large") as error:
        output.begin("shard", 2 * MEBIBYTE)
    assert "--shard-size" in error.value.hint
    assert attempts(tmp_path) == []
    with (
        output.begin("shard", 2 * MEBIBYTE) as attempt,
        files_limited_to(MEBIBYTE),
        pytest.raises(StorageError, match="File too large"),
    ):
        attempt.write(0, memoryview(noise(2 * MEBIBYTE)))


def test_read_only_file_system(tmp_path):
    with mounted("tmpfs", "size=1m", tmp_path / "small") as directory:
        output = output_in(directory)
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        with pytest.raises(StorageError, match="Read-only file system") as error:
            output.begin("shard", 10)
        assert "read-only" in error.value.hint


def test_no_permission(unprivileged):
    output = output_in(unprivileged.root)
    (unprivileged.root / "secret").write_text("x")
    (unprivileged.root / "secret").chmod(0)
    (unprivileged.root / "locked").mkdir(mode=0)
    (unprivileged.root / "attempts").mkdir()
    for path in (unprivileged.root, *unprivileged.root.rglob(f"{WORK_DIRECTORY}*")):
        path.chmod(0o555)
    store = LocalSource(unprivileged.root)
    with unprivileged.user():
        assert store.files() == {"secret": 1}
        for act in (
            lambda: store.open("secret"),
            LocalSource(unprivileged.root / "locked").files,
            lambda: output.begin("shard", 10),
        ):
            with pytest.raises(StorageError, match="Permission denied") as error:
                act()
            assert "permissions" in error.value.hint
    unprivileged.root.chmod(0o755)
    (unprivileged.root / "locked").chmod(0o755)


def test_output_without_its_work_directory(tmp_path):
    with pytest.raises(StorageError, match="can't create: No such file or directory"):
        LocalOutput(tmp_path / "attempts").begin("shard", 10)


def append(path):
    with path.open("ab") as file:
        file.write(b"x")


def overwrite(path):
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(b"x")


def replace(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def shorten(path):
    os.truncate(path, 5)


@pytest.mark.parametrize("change", [append, overwrite, replace, shorten, Path.unlink])
def test_a_change_is_noticed(tmp_path, change):
    path = tmp_path / "model.safetensors"
    path.write_bytes(noise(100))
    reader = LocalReader(path)
    reader.check_unchanged()
    change(path)
    with pytest.raises(StorageError, match=r"model\.safetensors"):
        reader.check_unchanged()
    reader.close()


def test_a_file_that_got_shorter_says_where_it_ends(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(noise(100))
    reader = LocalReader(path)
    os.truncate(path, 40)
    with pytest.raises(StorageError, match="ends at byte 40, expected 60 more bytes"):
        read(reader, 0, 100)
    reader.close()


def test_hidden_folders_and_what_is_no_file_are_not_listed(tmp_path):
    for folder in (".git", ".distexpand/attempts", "code"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file.py").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "code" / "deep").mkdir()
    (tmp_path / "code" / "deep" / "file.py").write_text("x")
    assert LocalSource(tmp_path).files() == {"code/file.py": 1}


def test_descriptors_are_not_left_open(tmp_path):
    output = output_in(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for index in range(20):
        with output.begin(f"{index}", 10):
            pass
        with pytest.raises(StorageError):
            output.begin("x", 2**62 + 2**61)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(attempts(tmp_path)) == 20
