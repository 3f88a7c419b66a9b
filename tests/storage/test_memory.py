"""Bytes in memory read like a file, and an attempt that failed is gone."""

import contextlib
import resource
from pathlib import Path

import pytest

from distexpand.errors import StorageError
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalOutput
from distexpand.storage.local.open_files import allow_open_files
from distexpand.storage.memory import BytesReader


def test_ranges_of_bytes() -> None:
    reader, buffer = BytesReader(b"0123456789"), bytearray(4)
    reader.read_into(6, memoryview(buffer))
    assert buffer == b"6789"
    assert list(reader.data_ranges(2, 5)) == [(2, 5)]
    for offset in (7, 100):
        with pytest.raises(StorageError):
            reader.read_into(offset, memoryview(buffer))
    reader.check_unchanged()
    reader.close()


@pytest.mark.parametrize("failure", [StorageError, KeyboardInterrupt])
def test_a_failed_attempt_holds_no_disk(tmp_path: Path, failure: type[BaseException]) -> None:
    attempts = tmp_path / WORK_DIRECTORY / "attempts"
    attempts.mkdir(parents=True)
    with contextlib.suppress(failure), LocalOutput(attempts).begin("a", 10) as attempt:
        attempt.write(0, memoryview(b"x"))
        raise failure("x")
    assert not list(attempts.iterdir())
    with LocalOutput(attempts).begin("a", 10):
        pass
    assert len(list(attempts.iterdir())) == 1


def test_the_limit_of_open_files_is_only_ever_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        allow_open_files(1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
        allow_open_files(10**12)
        raised, same = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert same == hard
        assert raised >= soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
