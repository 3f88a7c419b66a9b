"""Folders for shards that are sent whole, which outlive no process: what a killed one left is removed.

Such a folder holds gigabytes, in a place that nobody looks at. Its process keeps
it locked; the kernel unlocks it whatever the process dies of. Rejected: process
ids in the names, which are given again, and mean nothing beside containers that
share the place.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.scratch import scratch_place

_PREFIX = "distexpand-staged-"
_SHARDS = "shards"
"""Lies in every folder of ours, and holds the shards: what somebody else gave such a name is left alone."""


class StagingFolder:
    """A new folder in `place`, by default that for large temporary files; locked until it is closed.

    Raises:
        StorageError: no folder can be made there.
    """

    def __init__(self, place: Path | None = None) -> None:
        place = place or scratch_place()
        remove_abandoned(place)
        try:
            self._folder, self._descriptor = _locked_folder(place)
        except OSError as error:
            raise storage_error("create a folder in", place, error) from None
        self.path = self._folder / _SHARDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder; again is nothing."""
        if self._descriptor >= 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = -1


def remove_abandoned(place: Path | None = None) -> int:
    """Remove the folders whose processes are gone, and return how many; those of other users stay."""
    removed = 0
    for folder in _folders(place or scratch_place()):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # removed meanwhile, or another user's
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid() and (folder / _SHARDS).is_dir():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        except OSError:  # at work, or the file system knows no locks
            continue
        finally:
            os.close(descriptor)
    return removed


def _folders(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            yield from [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    except OSError:
        return


def _locked_folder(place: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor that keeps it locked.

    What tells it for ours comes last, so that no other process removes the folder before it is locked.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # no locks there: nobody takes the folder for abandoned either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / _SHARDS).mkdir()
    return folder, descriptor
