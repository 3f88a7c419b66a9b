"""Locks of the operating system, which vanish with the processes that hold them.

They lie in a folder beside the status file and are never removed: a lock file
that is removed can be held by one and made anew by another. Rejected: a
process number in a file, which says nothing on another host, nor once the
number belongs to someone else.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distexpand.batch.document import Batch, Expansion
from distexpand.commit.files import make_directory
from distexpand.storage.local.os_errors import storage_error

_TRIES = 4
_PAUSE_SECONDS = 0.05


def lock_folder(batch: Batch) -> Path:
    """Return the folder of a batch's locks."""
    return batch.status.with_name(f"{batch.status.name}.locks")


def lock_path(batch: Batch, expansion: Expansion) -> Path:
    """Return the file whose lock says that an expansion is being worked on."""
    known = hashlib.sha256(os.fsencode(expansion.output.resolve())).hexdigest()[:16]
    return lock_folder(batch) / f"{expansion.name[:60]}-{known}.lock"


@contextmanager
def trying_lock(path: Path) -> Iterator[int | None]:
    """Hold a lock, or nothing if another holds it; gives its descriptor.

    Raises:
        StorageError: the lock can't be made.
    """
    descriptor = _open(path)
    try:
        # Someone who only looks (`is_locked`) holds it for a moment.
        taken = False
        for number in range(_TRIES):
            time.sleep(_PAUSE_SECONDS if number else 0)
            taken = _taken(path, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if taken:
                break
        yield descriptor if taken else None
    finally:
        # Closed, not unlocked: a process that inherited it and still runs keeps the lock.
        os.close(descriptor)


@contextmanager
def holding_lock(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it.

    Raises:
        StorageError: the lock can't be made.
    """
    descriptor = _open(path)
    try:
        _taken(path, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether anyone holds the lock; it needn't exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _taken(path, descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    make_directory(path.parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise storage_error("create", path, error) from None


def _taken(path: Path, descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise storage_error("lock", path, error) from None
    return True
