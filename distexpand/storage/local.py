"""Local files: positional reads and writes, preallocation, holes.

Every read and write names its offset, so threads share one descriptor and
never wait for each other's position. Sources are opened read-only and never
written to.
"""

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from distexpand.errors import StorageError

WORK_DIRECTORY = ".distexpand"
"""Folder inside an output that holds everything unfinished."""

_STAT_BLOCK = 512
"""Bytes per unit of st_blocks, whatever the file system's block."""

_ADVICE = {
    errno.ENOSPC: "Free some space or choose another disk; finished shards are kept, go on with --resume.",
    errno.EFBIG: "Files of this size aren't taken by the file system, or a limit of the process; "
    "choose a smaller --shard-size.",
    errno.EDQUOT: "The disk quota is used up; finished shards are kept, go on with --resume.",
    errno.EACCES: "Check the permissions of the file and of the folders above it.",
    errno.EPERM: "Check the permissions of the file and of the folders above it.",
    errno.EMFILE: "Allow the process more open files (ulimit -n): every source file is held open.",
    errno.ENFILE: "The system's limit of open files is reached; try again with less running.",
    errno.EROFS: "The file system is mounted read-only; choose another output.",
}


def storage_error(doing: str, path: Path | str, error: OSError) -> StorageError:
    """Map an operating system's error to ours, with advice for the frequent ones."""
    reason = error.strerror or str(error)
    return StorageError(f"{path}: can't {doing}: {reason}", hint=_ADVICE.get(error.errno or 0, ""))


def allocated_bytes(status: os.stat_result) -> int:
    """Return the bytes that a file takes on disk."""
    return status.st_blocks * _STAT_BLOCK


class LocalReader:
    """A source file on a local or mounted file system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._opened = os.fstat(self._descriptor)
        except OSError as error:
            raise storage_error("open", path, error) from None
        self.size = self._opened.st_size
        self.version = str(self._opened.st_mtime_ns)
        self.is_sparse = allocated_bytes(self._opened) < self.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""
        _read_fully(self._descriptor, self._path, offset, buffer)

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
            return os.lseek(self._descriptor, offset, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
                return offset if whence == os.SEEK_DATA else None
            raise storage_error("read", self._path, error) from None

    def check_unchanged(self) -> None:
        """Compare size and time of last change with those at opening, also of the file of that name now."""
        try:
            for now in (os.fstat(self._descriptor), self._path.stat()):
                if _identity(now) != _identity(self._opened):
                    raise StorageError(
                        f"{self._path}: changed while it was read",
                        hint="Wait until nothing writes to the source, then plan and run again.",
                    )
        except OSError as error:
            raise storage_error("read", self._path, error) from None

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class LocalAttempt:
    """An attempt file inside an output's work directory."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.name = path.name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise storage_error("create", path, error) from None
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise storage_error("create", path, error) from None

    def reserve(self, offset: int, length: int) -> None:
        """Allocate unwritten extents where the file system has them, else nothing."""
        if length == 0:
            return
        try:
            _allocate(self._descriptor, offset, length)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise storage_error("reserve space", self._path, error) from None

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write the whole buffer at `offset`."""
        done = 0
        try:
            while done < len(buffer):
                done += os.pwrite(self._descriptor, buffer[done:], offset + done)
        except OSError as error:
            raise storage_error("write", self._path, error) from None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what was written."""
        _read_fully(self._descriptor, self._path, offset, buffer)

    def finish(self) -> None:
        """Sync the file to disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise storage_error("sync", self._path, error) from None

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        if exception[0] is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


class LocalSource:
    """A checkpoint in a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.location = str(root)

    def files(self) -> dict[str, int]:
        """Return the files of the directory and of its visible folders, with their sizes.

        No deeper, and no folder that can't be read: a checkpoint has nothing there, and a
        model may lie at the root of a disk.
        """
        try:
            found = _files_in(self._root)
        except OSError as error:
            raise storage_error("list", self._root, error) from None
        for folder in sorted(self._root.iterdir()):
            if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
                continue
            with suppress(OSError):
                found |= {f"{folder.name}/{name}": size for name, size in _files_in(folder).items()}
        return found

    def open(self, path: str) -> LocalReader:
        """Open a file of the checkpoint."""
        return LocalReader(self._root / path)


def _files_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


class LocalOutput:
    """The folder of an output's attempts, where they live until they get their final name."""

    def __init__(self, attempts: Path, *, key: str | None = None) -> None:
        """`key` ends the names of attempts, which may then be made once only; random if not given."""
        self._attempts = attempts
        self._key = key
        self.location = str(attempts)

    def begin(self, final_name: str, size: int) -> LocalAttempt:
        """Create the attempt's file, as large as the final file, all hole."""
        return LocalAttempt(self._attempts / f"{final_name}.{self._key or secrets.token_hex(8)}", size)


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


def _read_fully(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
    done = 0
    try:
        while done < len(buffer):
            count = os.preadv(descriptor, [buffer[done:]], offset + done)
            if count == 0:
                raise StorageError(
                    f"{path}: ends at byte {offset + done}, expected {len(buffer) - done} more bytes",
                    hint="The file changed while it was read; plan again.",
                )
            done += count
    except OSError as error:
        raise storage_error("read", path, error) from None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
