"""The work folder of an unfinished output in an object store: plan, receipts, notes.

Each run has a folder of its own below `.distexpand`, which the lease names (see `lease`), so
what a run that is over still means to write or remove is never a later run's. A receipt is a file
of its own, named by shard and attempt: two committers that both believe to go on with a run add
receipts, none replaces the other's.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from distexpand.commit.objects.lease import ObjectLease
from distexpand.commit.objects.lease_record import LEASE_PATH
from distexpand.commit.work_directory import NOTICE_NAME, NOTICE_TEXT
from distexpand.engine.receipt import Receipt, decode_receipt, encode_receipt
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.index import is_plain_path
from distexpand.formats.json_text import load_json
from distexpand.pauses import thread_pool
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.planning.model import Plan
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.objects.files import ObjectFiles

_READS_AT_ONCE = 16
_BY_HAND = "Remove the output by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectWork:
    """Where the pieces of an unfinished output are."""

    files: ObjectFiles
    folder: str

    @property
    def path(self) -> str:
        """The run's folder in the output's."""
        return f"{WORK_DIRECTORY}/{self.folder}"

    @property
    def plan(self) -> str:
        """The plan; there is a run to go on with once it is there."""
        return f"{self.path}/plan"

    @property
    def receipts(self) -> str:
        """The folder of receipts."""
        return f"{self.path}/receipts"

    @property
    def obsolete(self) -> str:
        """Names of an earlier output's files that are to go (`--overwrite`), one JSON list."""
        return f"{self.path}/obsolete.json"

    @property
    def sources(self) -> str:
        """Stamps of the source files that the run's shards are made of."""
        return f"{self.path}/sources.json"

    def origin(self, path: str) -> str:
        """Return what to call a file of it in a message."""
        return f"{self.files.address}/{path}"


def create(work: ObjectWork, plan: Plan, obsolete: Iterable[str]) -> None:
    """Fill the work folder of a new run; it counts once the lease names it.

    Raises:
        StorageError: it can't be written.
    """
    work.files.write(work.obsolete, json.dumps(list(obsolete)).encode())
    work.files.write(work.plan, encode_plan(plan))


def write_notice(files: ObjectFiles) -> None:
    """Tell people that the output is unfinished.

    Raises:
        StorageError: it can't be written.
    """
    files.write(NOTICE_NAME, NOTICE_TEXT.encode())


def stored_plan(work: ObjectWork) -> Plan | None:
    """Return the plan of the unfinished run, or nothing if there is none.

    Raises:
        UsageError: it is damaged or of another version.
        StorageError: it can't be read.
    """
    found = work.files.read(work.plan)
    if found is None:
        return None
    origin = work.origin(work.plan)
    try:
        return decode_plan(found.raw, origin=origin)
    except UsageError as error:
        reason = error.message.rpartition(f"{origin}: ")[2]
        raise UsageError(f"{origin}: {reason}", hint="Start anew with --overwrite.") from None


def read_obsolete(work: ObjectWork) -> tuple[str, ...]:
    """Return the files that an overwriting run set out to remove; none if it is past that.

    Raises:
        UsageError: the list is damaged.
        StorageError: it can't be read.
    """
    found, origin = work.files.read(work.obsolete), work.origin(work.obsolete)
    if found is None:
        return ()
    try:
        names = load_json(found.raw, origin=origin)
    except CheckpointError as error:
        raise UsageError(error.message, hint=_BY_HAND) from None
    if not isinstance(names, list) or not all(is_plain_path(name) for name in names):
        raise UsageError(f"{origin}: expected a list of plain file names", hint=_BY_HAND)
    return tuple(names)


def add_receipt(work: ObjectWork, receipt: Receipt) -> None:
    """Add a receipt durably.

    Raises:
        StorageError: it can't be written.
    """
    attempt = hashlib.sha256(receipt.attempt.encode()).hexdigest()[:16]
    work.files.write(f"{work.receipts}/{receipt.shard}.{attempt}.json", encode_receipt(receipt).encode())


def read_receipts(work: ObjectWork) -> list[Receipt]:
    """Return all receipts, of a shard as many as there are; what isn't whole isn't one.

    Raises:
        StorageError: they can't be read.
    """
    paths = sorted(work.files.list(work.receipts))
    receipts: list[Receipt] = []
    with thread_pool(_READS_AT_ONCE) as pool:
        for found in pool.map(work.files.read, paths):
            with suppress(ValueError):
                receipts += [decode_receipt(found.raw.decode())] if found else []
    return receipts


def leftovers(files: ObjectFiles, *, keep: str = "") -> list[str]:
    """Return what runs left, the lease and a run's folder to keep aside.

    Raises:
        StorageError: it can't be listed.
    """
    kept = [LEASE_PATH, *([f"{WORK_DIRECTORY}/{keep}/"] if keep else [])]
    return [path for path in files.list(WORK_DIRECTORY) if not path.startswith(tuple(kept))]


def wind_up(files: ObjectFiles, lease: ObjectLease) -> int:
    """Remove what runs left, now that all is done, and the lease last; return how many files that was.

    What is listed before the lease says that all is over can't be a later run's.

    Raises:
        OutputTakenError: another run has taken the output over.
        StorageError: something can't be removed.
    """
    left = leftovers(files)
    lease.end()
    files.remove([*left, NOTICE_NAME])
    lease.remove()
    return len(left)
