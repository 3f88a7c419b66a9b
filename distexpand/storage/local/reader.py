"""A source file on a local or mounted file system.

Every read names its offset, so threads share one descriptor and never wait for
each other's position. Opened read-only and never written to.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.local.direct import LEAST_BYTES, PAGE, direct_part, open_direct, reads_directly
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.positional import read_fully
from distexpand.storage.local.way import Way

_STAT_BLOCK = 512
"""Bytes per unit of st_blocks, whatever the file system's block."""


def allocated_bytes(status: os.stat_result) -> int:
    """Return the bytes that a file takes on disk."""
    return status.st_blocks * _STAT_BLOCK


class LocalReader:
    """A source file on a local or mounted file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._opened = os.fstat(self.descriptor)
        except OSError as error:
            raise storage_error("open", path, error) from None
        self.size = self._opened.st_size
        self.version = str(self._opened.st_mtime_ns)
        self.device = self._opened.st_dev
        self.is_sparse = allocated_bytes(self._opened) < self.size
        self.alignment = 1
        self._direct: int | None = None
        self._drops_behind = False

    def read_by(self, way: Way) -> Way:
        """Read large runs in this way from now on; return the way that is taken, as not all are everywhere.

        Only before the first read of several threads.
        """
        if way is Way.DIRECT and self._direct is None:
            self._direct = _open_direct(self.path, self._opened)
        if way is not Way.DIRECT and self._direct is not None:
            os.close(self._direct)
            self._direct = None
        taken = Way.BUFFERED if self._direct is None else Way.DIRECT
        self.alignment = PAGE if taken is Way.DIRECT else 1
        self._drops_behind = True
        return taken

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        start, stop = direct_part(offset, buffer) if self._direct is not None else (0, 0)
        if self._direct is not None and start < stop:
            read_fully(self.descriptor, self.path, offset, buffer[:start])
            read_fully(self._direct, self.path, offset + start, buffer[start:stop])
        read_fully(self.descriptor, self.path, offset + stop, buffer[stop:])
        if self._drops_behind and len(buffer) - stop >= LEAST_BYTES:
            os.posix_fadvise(self.descriptor, offset, len(buffer), os.POSIX_FADV_DONTNEED)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a range that aren't holes, as the file system tells them."""
        if not self.is_sparse:
            yield offset, length
            return
        position, end = offset, offset + length
        while position < end:
            start = self._seek(position, os.SEEK_DATA)
            if start is None or start >= end:
                return
            stop = self._seek(start, os.SEEK_HOLE)
            stop = end if stop is None else min(stop, end)
            yield start, stop - start
            position = stop

    def _seek(self, offset: int, whence: int) -> int | None:
        try:
            return os.lseek(self.descriptor, offset, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
                return offset if whence == os.SEEK_DATA else None
            raise storage_error("read", self.path, error) from None

    def check_unchanged(self) -> None:
        """Compare size and time of last change with those at opening, also of the file of that name now."""
        try:
            for now in (os.fstat(self.descriptor), self.path.stat()):
                if _identity(now) != _identity(self._opened):
                    raise StorageError(
                        f"{self.path}: changed while it was read",
                        hint="Wait until nothing writes to the source, then plan and run again.",
                    )
        except OSError as error:
            raise storage_error("read", self.path, error) from None

    def close(self) -> None:
        """Close the file."""
        self.read_by(Way.BUFFERED)
        os.close(self.descriptor)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_direct(path: Path, opened: os.stat_result) -> int | None:
    """Open the file that is open already once more, for direct I/O."""
    descriptor = open_direct(path, os.O_RDONLY)
    if descriptor is None:
        return None
    if _identity(os.fstat(descriptor)) == _identity(opened) and reads_directly(descriptor):
        return descriptor
    os.close(descriptor)
    return None
