"""A container that is being written: bytes one after the other, some of them from an earlier container."""

import os
from pathlib import Path
from typing import Self

from distexpand.storage.local.clone import block_size, clone_range
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.positional import read_fully, write_fully

_STEP_BYTES = 1024 * 1024
_FLUSH_BYTES = 16 * 1024 * 1024


class Container:
    """A new file; as a context it is closed, and removed if an exception ends the work.

    `size` is its bytes so far, `shared` those that it has in common with other files.
    """

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            StorageError: it can't be created.
        """
        self.path = path
        self.size = 0
        self.shared = 0
        self._dropped = 0
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise storage_error("create", path, error) from None

    def append(self, raw: bytes) -> None:
        """Write bytes at the end.

        Raises:
            StorageError: writing failed.
        """
        write_fully(self._descriptor, self.path, self.size, memoryview(raw))
        self.size += len(raw)
        self._leave_cache()

    def append_from(self, path: Path, offset: int, length: int) -> None:
        """Write what lies in another file or earlier in this one; whole blocks are shared where they can be.

        Raises:
            StorageError: reading or writing failed.
        """
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error("open", path, error) from None
        try:
            shared = self._share(source, offset, length)
            buffer = memoryview(bytearray(min(_STEP_BYTES, length - shared)))
            for begin in range(offset + shared, offset + length, _STEP_BYTES):
                part = buffer[: min(_STEP_BYTES, offset + length - begin)]
                read_fully(source, path, begin, part)
                write_fully(self._descriptor, self.path, self.size, part)
                self.size += len(part)
        finally:
            os.close(source)
        self._leave_cache()

    def _share(self, source: int, offset: int, length: int) -> int:
        """Share as many whole blocks from the beginning as there are, or none."""
        block = block_size(self._descriptor)
        whole = length // block * block
        if not whole or offset % block or self.size % block:
            return 0
        if not clone_range(source, offset, whole, self._descriptor, self.size, path=self.path):
            return 0
        self.size += whole
        self.shared += whole
        return whole

    def _leave_cache(self) -> None:
        """Let what was written begin its way to the disk, and what has arrived leave the page cache."""
        if self.size - self._dropped >= _FLUSH_BYTES:
            os.posix_fadvise(self._descriptor, 0, self.size, os.POSIX_FADV_DONTNEED)
            self._dropped = self.size

    def finish(self) -> None:
        """Make what was written durable.

        Raises:
            StorageError: syncing failed.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise storage_error("sync", self.path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)
        if exception[0] is not None:
            self.path.unlink(missing_ok=True)
