"""Collect what runs left: attempts that nobody will commit, folders of runs that are over.

Nothing of worth goes: final names, plan and journal stay, so that an
unfinished run can be resumed afterwards. An output that somebody is writing is
left alone.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from distexpand.commit.journal import read_journal
from distexpand.commit.lease import enter, knock
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.work_directory import (
    DONE_PREFIX,
    NOTICE_NAME,
    PREFLIGHT_PREFIX,
    WorkDirectory,
    clear_attempts,
    clear_done,
    current,
    dismantle,
)
from distexpand.errors import UsageError
from distexpand.storage.local.reader import allocated_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was removed: files, and the bytes that they took on disk; `finished` says what the output is."""

    files: int
    bytes: int
    finished: bool


def clean_output(output: Path) -> Cleaned:
    """Remove the leftovers of an output's runs.

    Raises:
        UsageError: the directory isn't one of ours.
        OutputError: a run is at work on it.
        StorageError: something can't be removed.
    """
    finished = (output / MANIFEST_NAME).exists()
    work = current(output)
    left = [path for path in output.iterdir() if _is_leftover(path)] if output.is_dir() else []
    if not finished and not left:
        raise UsageError(
            f"{output}: no output of distexpand", hint="Give the directory that a run was to write."
        )
    before = _files(left)
    if work.path.exists():
        _clean_work(output)
    clear_done(work)
    after = _files(left)
    gone = before.keys() - after.keys()
    return Cleaned(files=len(gone), bytes=sum(before[path] for path in gone), finished=finished)


def _clean_work(output: Path) -> None:
    lock = knock(output)
    try:
        # Another run may have come and gone since the first look.
        finished = (output / MANIFEST_NAME).exists()
        for folder in current(output).path.glob(f"{PREFLIGHT_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)
        work = current(output)
        if not work.exists() or (finished and not work.obsolete.exists()):
            dismantle(work)
            return
        lease = enter(output, lock, before=work)
        lock = -1
        try:
            receipts = read_journal(lease.work.journal).values()
            clear_attempts(lease.work, keep={receipt.attempt for receipt in receipts})
        finally:
            lease.close()
    finally:
        if lock >= 0:
            os.close(lock)


def _is_leftover(path: Path) -> bool:
    return path.name in {WorkDirectory(output=path.parent).path.name, NOTICE_NAME} or path.name.startswith(
        DONE_PREFIX
    )


def _files(folders: list[Path]) -> dict[Path, int]:
    """Return bytes on disk by file; a file that is renamed along with its run counts as the same."""
    found = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            if path.is_file():
                status = path.lstat()
                found[Path(str(status.st_ino))] = allocated_bytes(status)
    return found
