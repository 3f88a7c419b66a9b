"""Durable small steps on a local file system: write whole or not at all, sync what a rename changed."""

import contextlib
import os
import secrets
from pathlib import Path

from distexpand.storage.local.os_errors import storage_error


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a directory durable.

    Raises:
        StorageError: the directory can't be synced.
    """
    try:
        _sync(directory)
    except OSError as error:
        raise storage_error("sync", directory, error) from None


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, each with a durable entry in the one above.

    Raises:
        StorageError: it can't be made.
    """
    missing = []
    try:
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_entry(path)
    except OSError as error:
        raise storage_error("create", missing[0] if missing else directory, error) from None


def sync_entry(path: Path) -> None:
    """Make a file's or directory's entry in the directory above durable, where we may open that one.

    Raises:
        StorageError: that directory can't be synced.
    """
    try:
        _sync(path.absolute().parent)
    except PermissionError:
        return
    except OSError as error:
        raise storage_error("sync", path.absolute().parent, error) from None


def write_whole(path: Path, raw: bytes, *, attempts: Path) -> None:
    """Give `path` the bytes at once: under another name first, synced, then renamed.

    No folder is made: one that was renamed by another run must not come back.

    Raises:
        StorageError: writing failed; `path` is as it was before.
    """
    attempt = attempts / f"{path.name}.{secrets.token_hex(8)}"
    try:
        with attempt.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        attempt.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            attempt.unlink(missing_ok=True)
        raise storage_error("write", path, error) from None


def size_of(path: Path) -> int | None:
    """Return a file's bytes, or nothing if it isn't there.

    Raises:
        StorageError: it can't be looked at.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("read", path, error) from None


def remove(path: Path) -> None:
    """Remove a file that may be gone already.

    Raises:
        StorageError: it can't be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error("remove", path, error) from None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
