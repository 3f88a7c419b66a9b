"""The work directory of an unfinished output: plan, journal, attempts.

Everything unfinished lives in `.distexpand` inside the output, on the same
file system, so that giving a final name is one rename. Inside, the run has one
folder whose name counts its terms: each committer that takes the run over
renames it (see `lease`). The folder goes when the manifest is there: first by
a rename, so that nobody finds half of it.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from distexpand.commit.files import remove, sync_directory, sync_entry, write_whole
from distexpand.errors import OutputTakenError, UsageError
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.planning.model import Plan
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.local.os_errors import storage_error

NOTICE_NAME = "UNFINISHED.txt"
_RUN_PREFIX = "run-"
_RUN_NAME = re.compile(rf"{_RUN_PREFIX}[0-9]{{6,9}}")
PREFLIGHT_PREFIX = "preflight-"
"""Folders of markers, by which the nodes of a cluster show that they see the same output."""

DONE_PREFIX = f"{WORK_DIRECTORY}-done-"
"""A finished run's work directory on its way out; whoever finds one removes it."""

NOTICE_TEXT = """\
This directory holds an expansion that isn't finished: it was interrupted or is still running.
It has no manifest (distexpand.json) yet, so don't use the weights that are here.
To go on, call the same `distexpand run` again with --resume, or submit it or start its batch again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDirectory:
    """Where the pieces of an unfinished output are; `term` counts its committers, 0 before the first."""

    output: Path
    term: int = 0

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.output / WORK_DIRECTORY

    @property
    def run(self) -> Path:
        """The folder of the run in this term."""
        return self.path / f"{_RUN_PREFIX}{self.term:06}"

    @property
    def holder(self) -> Path:
        """Who holds the output in this term, and its beat."""
        return self.run / "holder.json"

    @property
    def attempts(self) -> Path:
        """Files that have no final name yet."""
        return self.run / "attempts"

    @property
    def plan(self) -> Path:
        """The plan; there is a run to go on with once it is there."""
        return self.run / "plan"

    @property
    def journal(self) -> Path:
        """Receipts of shards that are whole."""
        return self.run / "journal.jsonl"

    @property
    def obsolete(self) -> Path:
        """Names of an earlier output's files that are to go (`--overwrite`), one JSON list."""
        return self.run / "obsolete.json"

    @property
    def sources(self) -> Path:
        """Stamps of the source files that the run's shards are made of."""
        return self.run / "sources.json"

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


def current(output: Path) -> WorkDirectory:
    """Return the work directory in its newest term; term 0, whose folder isn't there, if it has none.

    Raises:
        StorageError: it can't be listed.
    """
    try:
        names = [path.name for path in WorkDirectory(output=output).path.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            names = []
        else:
            raise storage_error("list", WorkDirectory(output=output).path, error) from None
    terms = [int(name.removeprefix(_RUN_PREFIX)) for name in names if _RUN_NAME.fullmatch(name)]
    return WorkDirectory(output=output, term=max(terms, default=0))


def create(work: WorkDirectory, plan: Plan) -> None:
    """Fill the work directory of a new run.

    Raises:
        OutputError: another run has taken the output over.
        StorageError: it can't be written.
    """
    make_attempts(work)
    write_whole(work.plan, encode_plan(plan), attempts=work.attempts)
    write_whole(work.notice, NOTICE_TEXT.encode(), attempts=work.attempts)
    for directory in (work.run, work.path, work.output):
        sync_directory(directory)
    sync_entry(work.output)


def make_attempts(work: WorkDirectory) -> None:
    """Make the folder of attempts; never the run's folder, as another run may have renamed that.

    Raises:
        OutputError: another run has.
        StorageError: it can't be made.
    """
    try:
        work.attempts.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise taken_over(work.output) from None
    except OSError as error:
        raise storage_error("create", work.attempts, error) from None


def taken_over(output: Path | str) -> OutputTakenError:
    """Return the error of a run that has lost its output to another one."""
    return OutputTakenError(
        f"{output}: another run has taken this output over",
        hint="Follow that one; this one was taken for dead and has ended.",
    )


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


def clear_attempts(work: WorkDirectory, *, keep: set[str]) -> None:
    """Remove what interrupted attempts left; only the committer may, when no worker is at work.

    Raises:
        OutputError: another run has taken the output over.
        StorageError: a file can't be removed.
    """
    make_attempts(work)
    for path in sorted(work.attempts.iterdir()):
        if path.name not in keep:
            remove(path)


def dismantle(work: WorkDirectory) -> None:
    """Remove the notice and the whole work directory; only the committer may.

    Raises:
        StorageError: something can't be removed.
    """
    remove(work.notice)
    aside = work.output / f"{DONE_PREFIX}{secrets.token_hex(8)}"
    try:
        if work.term:
            work.run.rename(aside)
    except FileNotFoundError:  # another run has taken it over: the lock is that one's
        return
    except OSError as error:
        raise storage_error("remove", work.run, error) from None
    remove(work.lock)
    with contextlib.suppress(OSError):  # not empty: of a run that has begun since
        work.path.rmdir()
    sync_directory(work.output)
    clear_done(work)


def clear_done(work: WorkDirectory) -> None:
    """Remove work directories that finished runs put aside; what can't be removed does no harm."""
    for aside in work.output.glob(f"{DONE_PREFIX}*"):
        shutil.rmtree(aside, ignore_errors=True)
