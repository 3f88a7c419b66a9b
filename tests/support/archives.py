"""Archives of small checkpoints: frames of a few hundred bytes, so that all that large ones have occurs."""

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from distexpand.archive import layout, pack, shelves
from distexpand.archive.pack import Packed, pack_checkpoint
from distexpand.archive.tree import LocalTree
from distexpand.archive.unpack import Unpacked, unpack_checkpoint
from distexpand.formats.archive_index import Form
from distexpand.report.watching.display import NoProgress
from distexpand.storage.archives import reader as archive_reader
from distexpand.storage.archives import source as archive_source
from distexpand.storage.local.directories import LocalSource
from distexpand.storage.ranges import RangeReader, SourceStore

FRAME_BYTES = 2048


@contextmanager
def small_frames() -> Iterator[None]:
    """Pack even tiny files, into frames of at most two kilobytes."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (layout, archive_reader, archive_source):
            patch.setattr(module, "FRAME_BYTES", FRAME_BYTES)
        patch.setattr(layout, "LEAST_FRAME_BYTES", FRAME_BYTES // 4)
        patch.setattr(shelves, "LEAST_SHARED_BYTES", FRAME_BYTES // 4)
        patch.setattr(archive_reader, "_GAP_BYTES", 64)
        patch.setattr(pack, "SMALL_BYTES", 1)
        yield


def packed(source: Path, archive: Path, form: Form = Form.PLAIN, **options) -> Packed:
    """Pack a directory."""
    return pack_checkpoint(
        LocalTree(source),
        archive,
        form=form,
        **{"threads": 2, "stop": threading.Event(), "progress": NoProgress(), **options},
    )


def unpacked(archive: Path, output: Path, **options) -> Unpacked:
    """Unpack a directory's archive."""
    return unpack_checkpoint(
        LocalSource(archive),
        output,
        **{"threads": 2, "stop": threading.Event(), "progress": NoProgress(), **options},
    )


def written(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Write files and return the directory."""
    for name, raw in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return directory


def zstd_command() -> str:
    """Return the zstd command, or skip the test that asks: no Python package has it."""
    command = shutil.which("zstd")
    if command is None:
        pytest.skip("the zstd command isn't installed (apt-get install zstd)")
    return command


def restored_by_zstd(path: Path) -> bytes:
    """Return what `zstd -d` makes of a file."""
    command = [zstd_command(), "-d", "-c", "-q", str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


class CountedStore:
    """A store that counts the bytes that are read of each file."""

    def __init__(self, inner: SourceStore) -> None:
        self._inner = inner
        self.location = inner.location
        self.read: dict[str, int] = {}
        self.open_files = 0

    def files(self) -> dict[str, int]:
        return self._inner.files()

    def open(self, path: str) -> "CountedReader":
        self.open_files += 1
        return CountedReader(self, path, self._inner.open(path))


class CountedReader:
    """A reader of such a store."""

    def __init__(self, store: CountedStore, path: str, reader: RangeReader) -> None:
        self._store = store
        self._path = path
        self._reader = reader
        self.size = reader.size
        self.version = reader.version
        self.check_unchanged = reader.check_unchanged

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._store.read[self._path] = self._store.read.get(self._path, 0) + len(buffer)
        self._reader.read_into(offset, buffer)

    def close(self) -> None:
        self._store.open_files -= 1
        self._reader.close()
