"""Durable small steps on a local file system: write whole or not at all, sync what a rename changed."""

import os
import secrets
from pathlib import Path

from distexpand.storage.local import storage_error


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a directory durable.

    Raises:
        StorageError: the directory can't be synced.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error("sync", directory, error) from None


def write_whole(path: Path, raw: bytes, *, attempts: Path) -> None:
    """Give `path` the bytes at once: under another name first, synced, then renamed.

    Raises:
        StorageError: writing failed; `path` is as it was before.
    """
    attempt = attempts / f"{path.name}.{secrets.token_hex(8)}"
    try:
        with attempt.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        attempt.rename(path)
    except OSError as error:
        raise storage_error("write", path, error) from None


def remove(path: Path) -> None:
    """Remove a file that may be gone already.

    Raises:
        StorageError: it can't be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error("remove", path, error) from None
