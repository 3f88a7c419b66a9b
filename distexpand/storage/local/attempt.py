"""An attempt at an output file on a local or mounted file system: preallocation and positional writes.

Writes name their offset and lie inside the size that the file has from the
start, so that none waits for another.
"""

import contextlib
import ctypes
import errno
import os
import threading
from pathlib import Path
from typing import Self

from distexpand.storage.local.clone import block_size, clone_range
from distexpand.storage.local.direct import LEAST_BYTES, PAGE, direct_part, open_direct, writes_directly
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.positional import read_fully, write_fully
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.way import Way


class LocalAttempt:
    """An attempt file inside an output's work directory."""

    def __init__(
        self,
        path: Path,
        size: int,
        *,
        way: Way = Way.BUFFERED,
        shares: bool = False,
        reserves: bool = True,
    ) -> None:
        self._path = path
        self._reserves = reserves
        self._shares = shares
        self.name = path.name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self.descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise storage_error("create", path, error) from None
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            os.close(self.descriptor)
            path.unlink(missing_ok=True)
            raise storage_error("create", path, error) from None
        self._size = size
        self._direct = _open_direct(path, size) if way is Way.DIRECT else None
        self.way = Way.BUFFERED if self._direct is None else Way.DIRECT
        self._ends = _Ends()

    def reserve(self, offset: int, length: int) -> None:
        """Allocate unwritten extents where the file system has them, else nothing."""
        if length == 0 or not self._reserves:
            return
        try:
            _allocate(self.descriptor, offset, length)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise storage_error("reserve space", self._path, error) from None

    def share(self, source: object, source_offset: int, offset: int, length: int) -> tuple[int, int]:
        """Have whole blocks of a range in common with a local source or attempt, as far as possible."""
        nothing = (offset, offset)
        if not self._shares or not isinstance(source, LocalReader | LocalAttempt):
            return nothing
        # Of whole pages, too: a page that isn't filled may have an end that another thread is writing.
        block = max(block_size(self.descriptor), PAGE)
        start, stop = -(-offset // block) * block, (offset + length) // block * block
        if (offset - source_offset) % block or start >= stop:
            return nothing
        from_offset = source_offset + start - offset
        if isinstance(source, LocalAttempt):
            source._write_ends(from_offset, from_offset + stop - start)  # noqa: SLF001  # one of our own
        shared = clone_range(
            source.descriptor, from_offset, stop - start, self.descriptor, start, path=self._path
        )
        return (start, stop) if shared else nothing

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write the whole buffer at `offset`; ragged ends beside a direct run wait for the end."""
        self._write_ends(offset, offset + len(buffer))
        start, stop = direct_part(offset, buffer) if self._direct is not None else (0, 0)
        if self._direct is not None and start < stop:
            write_fully(self._direct, self._path, offset + start, buffer[start:stop])
            self._ends.add(offset, buffer[:start])
            self._ends.add(offset + stop, buffer[stop:])
            if self._ends.is_full:
                self._write_ends(0, self._size)
            return
        write_fully(self.descriptor, self._path, offset, buffer)
        if len(buffer) >= LEAST_BYTES:
            # What is still dirty begins its way to the disk; what is clean leaves the cache.
            os.posix_fadvise(self.descriptor, offset, len(buffer), os.POSIX_FADV_DONTNEED)

    def leave_zero(self, offset: int, length: int) -> None:
        """Do nothing: the file reads as zero there already."""

    def _write_ends(self, start: int, stop: int) -> None:
        """Write the ends that wait in a range."""
        for offset, end in self._ends.take(start, stop):
            write_fully(self.descriptor, self._path, offset, memoryview(end))

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what was written."""
        self._write_ends(offset, offset + len(buffer))
        read_fully(self.descriptor, self._path, offset, buffer)

    def finish(self) -> None:
        """Sync the file to disk."""
        self._write_ends(0, self._size)
        try:
            os.fsync(self.descriptor)
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise storage_error("sync", self._path, error) from None

    def close(self) -> None:
        """Close the file.

        Raises:
            StorageError: the file system reports only now what went wrong.
        """
        try:
            self._close()
        except OSError as error:
            raise storage_error("close", self._path, error) from None

    def _close(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self.close()
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        with contextlib.suppress(OSError):
            self._close()


def _open_direct(path: Path, size: int) -> int | None:
    """Open a new file for direct I/O as well; it has no other bytes than zeros yet."""
    descriptor = open_direct(path, os.O_WRONLY) if size >= LEAST_BYTES else None
    if descriptor is None or writes_directly(descriptor):
        return descriptor
    os.close(descriptor)
    return None


class _Ends:
    """Parts of pages that wait to be written: a write through the cache waits for all direct ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, bytes]] = []

    def add(self, offset: int, part: memoryview) -> None:
        if part:
            with self._lock:
                self._waiting.append((offset, bytes(part)))

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _MOST_ENDS

    def take(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """Return those that lie in a range, which wait no longer."""
        taken: list[tuple[int, bytes]] = []
        left: list[tuple[int, bytes]] = []
        with self._lock:
            for end in self._waiting:
                inside = end[0] < stop and end[0] + len(end[1]) > start
                (taken if inside else left).append(end)
            self._waiting = left
        return taken


_MOST_ENDS = 2048
"""Of less than a page each; those of 16 GB, and 8 MB of memory at most."""

_LIBC_FALLOCATE = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
if _LIBC_FALLOCATE is not None:
    _LIBC_FALLOCATE.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _allocate(descriptor: int, offset: int, length: int) -> None:
    """Call fallocate(2) itself.

    Where a file system can't allocate, `os.posix_fallocate` writes into every block of the
    range instead, in glibc: on a network or FUSE mount that is the whole work once more.
    """
    if _LIBC_FALLOCATE is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    while _LIBC_FALLOCATE(descriptor, 0, offset, length) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
