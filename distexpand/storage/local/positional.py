"""Whole transfers at an offset: the operating system may do less than was asked, and says so."""

import os
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.local.os_errors import storage_error


def read_fully(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
    """Fill the buffer from `offset`; `path` is for messages.

    Raises:
        StorageError: the file ends before that, or reading failed.
    """
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


def write_fully(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
    """Write the whole buffer at `offset`; `path` is for messages.

    Raises:
        StorageError: writing failed.
    """
    done = 0
    try:
        while done < len(buffer):
            done += os.pwrite(descriptor, buffer[done:], offset + done)
    except OSError as error:
        raise storage_error("write", path, error) from None
