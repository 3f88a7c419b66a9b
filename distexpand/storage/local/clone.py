"""Sharing blocks between files: XFS, Btrfs and others let two files have the same extents until one changes.

A range is shared, not copied, by `FICLONERANGE` (ioctl_ficlonerange(2)): whole
blocks at offsets that are multiples of the block in both files.
"""

import errno
import fcntl
import os
import struct
import tempfile
from pathlib import Path

from distexpand.errors import StorageError
from distexpand.storage.local.os_errors import storage_error

_FICLONERANGE = 0x4020940D

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What copying would end with as well; after any other error it may still do."""


def block_size(descriptor: int) -> int:
    """Return the bytes of which a file's shared ranges have to be multiples."""
    return os.fstat(descriptor).st_blksize


def clone_range(
    source: int, source_offset: int, length: int, target: int, offset: int, *, path: Path | str
) -> bool:
    """Let `target` share a range of `source`, both open files; return whether they can.

    Raises:
        StorageError: they can, but it failed (a full disk); names `path`.
    """
    try:
        fcntl.ioctl(target, _FICLONERANGE, struct.pack("=qQQQ", source, source_offset, length, offset))
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise storage_error("share blocks with", path, error) from None
        return False
    return True


def can_clone(source: int, folder: Path, *, block: int) -> bool:
    """Try whether a new file in a folder could share an open file's blocks; nothing is left there.

    Not where the file system shares larger units than `block`, for which the output is laid out.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            size = block_size(file.fileno())
            return block % size == 0 and clone_range(source, 0, size, file.fileno(), 0, path=folder)
    except (OSError, StorageError):
        return False
