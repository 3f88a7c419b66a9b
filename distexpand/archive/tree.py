"""Every file below a directory, as a source that can be packed whole.

A checkpoint is planned from its own folder and the ones in it; an archive that
replaces a directory has to hold all of it. What is left out is said.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from distexpand.errors import UsageError
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.io_path import choose_reading
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.reader import LocalReader

_LEFT_OUT = frozenset({".git", ".cache"})
"""Folders of tools, not of the model: a repository's history, and what a download remembers."""

_LARGE_BYTES = 16 * 1024 * 1024
"""To find out how it is read costs a reading of its own."""


def refuse_inside(output: Path, source: Path) -> None:
    """Check that what is written doesn't lie in what is read.

    Raises:
        UsageError: it does, or is the same.
    """
    target, read = output.resolve(), source.resolve()
    if target == read or read in target.parents:
        raise UsageError(f"{output}: lies in {source}", hint="Choose a directory outside it.")


class LocalTree:
    """A directory with all that is below it; `left_out` names folders and odd files that aren't packed."""

    def __init__(self, root: Path) -> None:
        """Look at the directory.

        Raises:
            UsageError: it isn't one.
        """
        if not os.path.isdir(root):  # noqa: PTH112  # false, not an error, for a name too long
            raise UsageError(f"{root}: no such directory", hint="Give the directory of a checkpoint.")
        self._root = root
        self.location = str(root)
        self.left_out: list[str] = []

    def files(self) -> dict[str, int]:
        """Return every file's path with its size; links to files are followed, those to folders aren't."""
        self.left_out = []
        try:
            return dict(self._below(self._root, ""))
        except OSError as error:
            raise storage_error("list", error.filename or self._root, error) from None

    def open(self, path: str) -> LocalReader:
        """Open a file, a large one to be read in the way that suits its file system."""
        reader = LocalReader(self._root / path)
        if reader.size >= _LARGE_BYTES:
            choose_reading([reader], trial=False)
        return reader

    def _below(self, folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False) and not _is_left_out(entry.name):
                yield from self._below(folder / entry.name, f"{name}/")
                continue
            status = entry.stat()
            if stat.S_ISREG(status.st_mode):
                yield name, status.st_size
            else:
                self.left_out.append(name)


def _is_left_out(folder: str) -> bool:
    return folder in _LEFT_OUT or folder.startswith(WORK_DIRECTORY)
