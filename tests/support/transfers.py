"""How bytes really moved: past the page cache, through it, or not at all, and limits small enough to see it.

The package moves small runs plainly, since nothing is gained with them. For tests of a few
kilobytes those limits are lowered; what happened is then counted where the system is called.
"""

import fcntl
import mmap
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distexpand.engine import cloning, fill, kept, placing, sharing, space
from distexpand.storage.local import attempt as local_attempt
from distexpand.storage.local import direct
from distexpand.storage.local import reader as local_reader

LEAST_BYTES = 2 * direct.PAGE
"""What is worth a direct transfer, being cloned, and being looked for, where the limits are small."""

READ, WRITTEN, SHARED = "read", "written", "shared"
DIRECT_READ, DIRECT_WRITTEN = "read directly", "written directly"


class Moved:
    """Bytes by how they moved, while `counted_transfers` lasts."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __getitem__(self, how: str) -> int:
        return self._bytes[how]

    def add(self, how: str, count: int) -> None:
        with self._lock:
            self._bytes[how] += count

    def clear(self) -> None:
        self._bytes.clear()


@contextmanager
def small_limits() -> Iterator[None]:
    """Let runs of two pages move directly, be cloned and be shared, as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (direct, local_reader, local_attempt, fill, kept):
            patch.setattr(module, "LEAST_BYTES", LEAST_BYTES)
        for module in (cloning, placing, space):
            patch.setattr(module, "LEAST_SHARED", LEAST_BYTES)
        patch.setattr(sharing, "_LEAST_READ", LEAST_BYTES)
        yield


@contextmanager
def counted_transfers() -> Iterator[Moved]:
    """Count the bytes that move, and in which way."""
    moved = Moved()
    read_fully, write_fully, clone_range = (
        local_reader.read_fully,
        local_attempt.write_fully,
        local_attempt.clone_range,
    )

    def read(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
        read_fully(descriptor, path, offset, buffer)
        moved.add(DIRECT_READ if is_direct(descriptor) else READ, len(buffer))

    def write(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
        write_fully(descriptor, path, offset, buffer)
        moved.add(DIRECT_WRITTEN if is_direct(descriptor) else WRITTEN, len(buffer))

    def clone(source: int, source_offset: int, length: int, target: int, offset: int, *, path: Path) -> bool:
        shared = clone_range(source, source_offset, length, target, offset, path=path)
        moved.add(SHARED, length if shared else 0)
        return shared

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_reader, "read_fully", read)
        patch.setattr(local_attempt, "write_fully", write)
        patch.setattr(local_attempt, "clone_range", clone)
        yield moved


def is_direct(descriptor: int) -> bool:
    """Whether an open file bypasses the page cache."""
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def buffer_for(offset: int, length: int, *, shift: int = 0) -> memoryview:
    """Return memory that lies as `offset` lies in its file, modulo the page, or `shift` bytes behind."""
    area = memoryview(mmap.mmap(-1, 2 * direct.PAGE + length))
    begin = (offset + shift - direct._address(area)) % direct.PAGE
    return area[begin : begin + length]


def filled(offset: int, raw: bytes | memoryview, *, shift: int = 0) -> memoryview:
    """Return such memory that holds some bytes."""
    buffer = buffer_for(offset, len(raw), shift=shift)
    buffer[:] = raw
    return buffer


def takes_direct_io(folder: Path) -> bool:
    """Whether a file system has direct I/O, asked without the package."""
    probe = folder / "probe"
    probe.write_bytes(bytes(direct.PAGE))
    try:
        os.close(os.open(probe, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    else:
        return True
    finally:
        probe.unlink()
