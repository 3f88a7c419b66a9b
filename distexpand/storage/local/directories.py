"""Local and mounted directories: a checkpoint to read, and where an output's attempts are written."""

import secrets
from contextlib import suppress
from pathlib import Path

from distexpand.storage.local.attempt import LocalAttempt
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.local.way import Way

WORK_DIRECTORY = ".distexpand"
"""Folder inside an output that holds everything unfinished."""


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

    def __init__(
        self,
        attempts: Path,
        *,
        key: str | None = None,
        way: Way = Way.BUFFERED,
        shares: bool = False,
        reserves: bool = True,
    ) -> None:
        """Say where attempts are written, and how.

        Args:
            attempts: the folder.
            key: ends the attempts' names, which may then be made once only; random if not given.
            way: how large runs are written.
            shares: whether attempts may share blocks with sources and with one another.
            reserves: whether space is taken before it is written to.
        """
        self._attempts = attempts
        self._key = key
        self._way = way
        self._shares = shares
        self._reserves = reserves
        self.location = str(attempts)

    def begin(self, final_name: str, size: int) -> LocalAttempt:
        """Create the attempt's file, as large as the final file, all hole."""
        name = f"{final_name}.{self._key or secrets.token_hex(8)}"
        return LocalAttempt(
            self._attempts / name, size, way=self._way, shares=self._shares, reserves=self._reserves
        )
