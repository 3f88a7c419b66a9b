"""The work directory of an unfinished output: plan, journal, attempts, and the lock of its committer.

Everything unfinished lives in `.distexpand` inside the output, on the same
file system, so that giving a final name is one rename. The folder goes when
the manifest is there: first by a rename, under the lock, so that nobody finds
half of it. A lock of the operating system keeps two committers apart and
vanishes with the process that held it.
"""

import fcntl
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from distexpand.commit.files import make_directory, remove, sync_directory, sync_entry, write_whole
from distexpand.errors import OutputError, UsageError
from distexpand.plan.codec import decode_plan, encode_plan
from distexpand.plan.model import Plan
from distexpand.storage.local import WORK_DIRECTORY, storage_error

NOTICE_NAME = "UNFINISHED.txt"
DONE_PREFIX = f"{WORK_DIRECTORY}-done-"
"""A finished run's work directory on its way out; whoever finds one removes it."""

_NOTICE = """This directory holds an expansion that isn't finished: it was interrupted or is still running.
It has no manifest (distexpand.json) yet, so don't use the weights that are here.
To go on, call the same `distexpand run` again with --resume.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDirectory:
    """Where the pieces of an unfinished output are."""

    output: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.output / WORK_DIRECTORY

    @property
    def attempts(self) -> Path:
        """Files that have no final name yet."""
        return self.path / "attempts"

    @property
    def plan(self) -> Path:
        """The plan of the run; the folder is a work directory once it is there."""
        return self.path / "plan"

    @property
    def journal(self) -> Path:
        """Receipts of shards that are whole."""
        return self.path / "journal.jsonl"

    @property
    def obsolete(self) -> Path:
        """Names of an earlier output's files that are to go (`--overwrite`), one JSON list."""
        return self.path / "obsolete.json"

    @property
    def sources(self) -> Path:
        """Stamps of the source files that the run's shards are made of."""
        return self.path / "sources.json"

    @property
    def lock(self) -> Path:
        """Locked by the committer."""
        return self.path / "lock"

    @property
    def notice(self) -> Path:
        """Tells people that the output is unfinished."""
        return self.output / NOTICE_NAME

    def exists(self) -> bool:
        """Whether an unfinished run is here."""
        return os.path.exists(self.plan)  # noqa: PTH110  # false, not an error, for a name too long


def create(work: WorkDirectory, plan: Plan) -> None:
    """Make the work directory of a new run; the output directory is made as well.

    Raises:
        StorageError: it can't be made.
    """
    make_directory(work.attempts)
    write_whole(work.plan, encode_plan(plan), attempts=work.attempts)
    write_whole(work.notice, _NOTICE.encode(), attempts=work.attempts)
    for directory in (work.path, work.output):
        sync_directory(directory)
    sync_entry(work.output)


def stored_plan(work: WorkDirectory) -> Plan:
    """Return the plan of the unfinished run.

    Raises:
        UsageError: it is damaged or of another version.
        StorageError: it can't be read.
    """
    try:
        raw = work.plan.read_bytes()
    except OSError as error:
        raise storage_error("read", work.plan, error) from None
    try:
        return decode_plan(raw, origin=str(work.plan))
    except UsageError as error:
        reason = error.message.rpartition(f"{work.plan}: ")[2]
        raise UsageError(f"{work.plan}: {reason}", hint="Start anew with --overwrite.") from None


def take_lock(work: WorkDirectory) -> int:
    """Become the only committer of the output; return the descriptor that holds the lock.

    Raises:
        OutputError: another run is at work on this output.
        StorageError: the lock file can't be made.
    """
    make_directory(work.path)
    try:
        descriptor = os.open(work.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise storage_error("create", work.lock, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputError(
            f"{work.output}: another run is writing this output",
            hint="Wait for it to end, or choose another output.",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise storage_error("lock", work.lock, error) from None
    _require_own_lock(work, descriptor)
    return descriptor


def _require_own_lock(work: WorkDirectory, descriptor: int) -> None:
    """Check that the locked file is the one that others will find: a finishing run removes it."""
    try:
        same = os.path.samestat(os.fstat(descriptor), work.lock.stat())
    except FileNotFoundError:
        same = False
    if not same:
        os.close(descriptor)
        raise OutputError(f"{work.output}: another run has just finished this output")


def clear_attempts(work: WorkDirectory, *, keep: set[str]) -> None:
    """Remove what interrupted attempts left; only the committer may, when no worker is at work.

    Raises:
        StorageError: a file can't be removed.
    """
    make_directory(work.attempts)
    for path in sorted(work.attempts.iterdir()):
        if path.name not in keep:
            remove(path)


def dismantle(work: WorkDirectory) -> None:
    """Remove the notice and the whole work directory; call it with the lock held.

    Raises:
        StorageError: something can't be removed.
    """
    remove(work.notice)
    aside = work.output / f"{DONE_PREFIX}{secrets.token_hex(8)}"
    try:
        work.path.rename(aside)
    except OSError as error:
        raise storage_error("remove", work.path, error) from None
    sync_directory(work.output)
    clear_done(work)


def clear_done(work: WorkDirectory) -> None:
    """Remove work directories that finished runs put aside; what can't be removed does no harm."""
    for aside in work.output.glob(f"{DONE_PREFIX}*"):
        shutil.rmtree(aside, ignore_errors=True)
