"""Files that are written where the user says: whole or not at all, and never over a stranger's."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from distexpand.errors import UsageError
from distexpand.storage.local.os_errors import storage_error

_LOOKED_AT = 512
"""Bytes at a file's beginning by which it is told whose it is."""


def write_own_file(path: Path, data: bytes, *, what: str, is_own: Callable[[bytes], bool]) -> None:
    """Write a file; replaces only one that was written so before.

    Args:
        path: the file.
        data: its bytes.
        what: what it is, with its article: `a saved plan`.
        is_own: tells an earlier one by its beginning.

    Raises:
        UsageError: the file exists and is something else.
        StorageError: it can't be written.
    """
    attempt = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if path.exists() and not _is_own(path, is_own):
            raise UsageError(f"{path}: exists and isn't {what}", hint="Give another name, or remove it.")
        try:
            attempt.write_bytes(data)
            attempt.replace(path)
        finally:
            attempt.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(f"write {what}", path, error) from None


def _is_own(path: Path, is_own: Callable[[bytes], bool]) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113  # a device or a folder is never read
        return False
    with path.open("rb") as file:
        return is_own(file.read(_LOOKED_AT))
