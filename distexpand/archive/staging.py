"""A directory that appears whole: its files are made under other names and get their own when all are there.

A run of an expansion gives its shards their names one by one, since it can be
resumed. What is packed or unpacked is made anew after an interruption, so
nothing shows before the end, and what an interruption left goes at the next
start. Rejected: making the directory under another name and renaming it, which
fails where it is the root of a mount.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from distexpand.commit.files import make_directory, remove, sync_directory, write_whole
from distexpand.commit.lease import knock
from distexpand.commit.occupied import require_vacant
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import StorageError, UsageError
from distexpand.formats.json_record import record
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.os_errors import storage_error

_NOTICE = """This directory isn't complete: `distexpand pack` or `unpack` ended while it named the files.
Don't use what is here; call the same command again.
"""

_ELSEWHERE = "Choose another directory, or empty this one; nothing is ever overwritten."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A file that is about to get its name, as it is: to be known again after an interruption."""

    name: str
    size: int
    modified_ns: int


class StagedDirectory:
    """Holds a directory that is to be made; as a context it leaves nothing unless `publish` was called."""

    def __init__(self, target: Path) -> None:
        """Open the directory, which doesn't exist, is empty, or holds what an interruption left.

        Raises:
            UsageError: it holds something else.
            OutputTakenError: somebody is making it.
            StorageError: it can't be made.
        """
        self._target = target
        self._require_free()
        self._is_new = not os.path.exists(target)  # noqa: PTH110  # false, not an error, for a name too long
        self._lock = knock(target)
        try:
            # Another one may have come and gone between the first look and the lock.
            self._require_free()
            self._clear()
            make_directory(self.folder)
        except BaseException:
            self._let_go()
            raise

    @property
    def folder(self) -> Path:
        """Where the files are made, under any names, without folders."""
        return self._work / "files"

    @property
    def _work(self) -> Path:
        return self._target / WORK_DIRECTORY / "archive"

    @property
    def _list(self) -> Path:
        return self._work / "placed.json"

    def publish(self, names: Sequence[tuple[str, str]]) -> None:
        """Give files their names, in order.

        Args:
            names: each file's name in `folder` and its path in the directory; each is synced.

        Raises:
            StorageError: one can't be renamed.
        """
        placed = [_placed(self.folder / made, name) for made, name in names]
        raw = json.dumps([asdict(entry) for entry in placed]).encode()
        write_whole(self._list, raw, attempts=self.folder)
        sync_directory(self._work)
        write_whole(self._target / NOTICE_NAME, _NOTICE.encode(), attempts=self.folder)
        sync_directory(self._target)
        folders = {self._target}
        for made, name in names:
            final = self._target / name
            make_directory(final.parent)
            _rename(self.folder / made, final)
            folders.add(final.parent)
        for folder in folders:
            sync_directory(folder)
        remove(self._target / NOTICE_NAME)
        self._list.unlink()
        sync_directory(self._target)

    def _require_free(self) -> None:
        """Check that there is nothing beside what an interrupted publication left, changing nothing."""
        left = {entry.name for entry in self._left()}
        if left:
            left |= {NOTICE_NAME}
            present = [path for path in self._target.rglob("*") if not path.is_dir()]
            names = {path.relative_to(self._target).as_posix() for path in present}
            strange = sorted(name for name in names - left if not name.startswith(f"{WORK_DIRECTORY}/"))
            if strange:
                raise UsageError(f"{self._target}: isn't empty (holds {strange[0]})", hint=_ELSEWHERE)
            return
        try:
            require_vacant(self._target)
        except UsageError as error:
            raise UsageError(error.message, hint=_ELSEWHERE) from None

    def _left(self) -> list[_Placed]:
        """Return what an interrupted publication named already.

        Raises:
            UsageError: a file was changed since.
        """
        if not os.path.exists(self._list):  # noqa: PTH110  # false, not an error, for a name too long
            return []
        try:
            placed = [record(_Placed, entry) for entry in json.loads(self._list.read_bytes())]
        except OSError as error:
            raise storage_error("read", self._list, error) from None
        except (TypeError, ValueError, RecursionError):
            raise UsageError(f"{self._list}: damaged", hint="Remove the directory by hand.") from None
        for entry in placed:
            path = self._target / entry.name
            if path.exists() and _placed(path, entry.name) != entry:
                raise UsageError(
                    f"{path}: was changed since an interrupted `pack` or `unpack` wrote it",
                    hint="Move it away, or choose another directory.",
                )
        return placed

    def _clear(self) -> None:
        """Remove what an interruption left, the list of it last."""
        for entry in self._left():
            remove(self._target / entry.name)
            for folder in (self._target / entry.name).parents:
                if folder == self._target or not folder.exists():
                    break
                with contextlib.suppress(OSError):
                    folder.rmdir()
        remove(self._target / NOTICE_NAME)
        sync_directory(self._target)
        self._remove_work()

    def _remove_work(self) -> None:
        try:
            if self._work.exists():
                shutil.rmtree(self._work)
        except OSError as error:
            raise storage_error("remove", self._work, error) from None

    def _let_go(self) -> None:
        try:
            with contextlib.suppress(OSError):
                (self._target / WORK_DIRECTORY / "lock").unlink()
                (self._target / WORK_DIRECTORY).rmdir()
                if self._is_new:
                    self._target.rmdir()  # refused by the system unless it is empty
        finally:
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        error = exception[1]
        if isinstance(error, StorageError) and "--resume" in error.hint:  # that is said to runs
            error.hint = "Free some space or choose another disk, then call again."
        try:
            self._clear()
        finally:
            self._let_go()


def _placed(path: Path, name: str) -> _Placed:
    try:
        status = path.stat()
    except OSError as error:
        raise storage_error("read", path, error) from None
    return _Placed(name=name, size=status.st_size, modified_ns=status.st_mtime_ns)


def _rename(made: Path, final: Path) -> None:
    try:
        made.rename(final)
    except OSError as error:
        raise storage_error("rename", made, error) from None
