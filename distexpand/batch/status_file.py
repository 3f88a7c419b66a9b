"""The status file: replaced whole, changed under a lock, so that no start loses what another wrote.

Several starts share it, and readers need no lock: what they read is whole,
as each change is written beside it, synced and renamed.
"""

from collections.abc import Callable
from dataclasses import replace

from distexpand.batch.document import Batch, Expansion
from distexpand.batch.locks import holding_lock, is_locked, lock_folder, lock_path
from distexpand.batch.status import Entry, State, Status, decode_status, encode_status, make_status
from distexpand.commit.files import make_directory, remove, sync_directory, write_whole
from distexpand.errors import UsageError
from distexpand.storage.local.os_errors import storage_error

_LOCK = "status.lock"


class StatusFile:
    """A batch's status on disk; may be used from any thread and by any number of processes."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._path = batch.status
        self._folder = lock_folder(batch)

    def open(self) -> None:
        """Bring the file in line with the batch file's list; remove what a killed start left of a change.

        Raises:
            UsageError: the file is something else than a status, or that of another list.
            StorageError: it can't be written.
        """
        make_directory(self._folder)
        with holding_lock(self._folder / _LOCK):
            self._refuse_other_list()
            for attempt in self._folder.glob(f"{self._path.name}.*"):
                remove(attempt)
            self._write(self.read())

    def read(self) -> Status:
        """Return what the file says of this batch's expansions; those it doesn't know are waiting.

        Raises:
            UsageError: the file is something else than a status.
            StorageError: it can't be read.
        """
        stored = self._stored()
        known = {entry.output: entry for entry in stored.expansions} if stored is not None else {}
        entries = []
        for expansion in self._batch.expansions:
            blank = _blank(expansion)
            entry = known.get(blank.output, blank)
            entries.append(replace(entry, name=blank.name, recipe=blank.recipe))
        return make_status(str(self._batch.path), entries)

    def entry(self, expansion: Expansion) -> Entry:
        """Return one expansion's entry."""
        return self.read().expansions[self._batch.expansions.index(expansion)]

    def true_state(self) -> Status:
        """Return the status with what only the locks tell: who is at work, and who was killed in it."""
        status = self.read()
        pairs = zip(self._batch.expansions, status.expansions, strict=True)
        entries = tuple(self._told_by_lock(expansion, entry) for expansion, entry in pairs)
        return replace(status, expansions=entries)

    def update(self, expansion: Expansion, change: Callable[[Entry], Entry]) -> Entry:
        """Change one expansion's entry and return it.

        Raises:
            StorageError: the file can't be written.
        """
        with holding_lock(self._folder / _LOCK):
            status = self.read()
            index = self._batch.expansions.index(expansion)
            entries = list(status.expansions)
            entries[index] = change(entries[index])
            self._write(make_status(status.file, entries))
            return entries[index]

    def _told_by_lock(self, expansion: Expansion, entry: Entry) -> Entry:
        if is_locked(lock_path(self._batch, expansion)):
            return replace(entry, state=State.RUNNING)
        if entry.state is State.RUNNING:
            return replace(entry, state=State.INTERRUPTED, doing="")
        return entry

    def _refuse_other_list(self) -> None:
        """Refuse a file that two batch files name: each would drop what the other's starts noted."""
        stored = self._stored()
        if stored is None or stored.file == str(self._batch.path) or not stored.expansions:
            return
        ours = {str(expansion.output) for expansion in self._batch.expansions}
        if not ours & {entry.output for entry in stored.expansions}:
            raise UsageError(
                f"{self._path}: is the status of another list, {stored.file}",
                hint="Give each batch file a `status` of its own, or move that file away.",
            )

    def _stored(self) -> Status | None:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("read", self._path, error) from None
        return decode_status(raw, origin=str(self._path))

    def _write(self, status: Status) -> None:
        write_whole(self._path, encode_status(status), attempts=self._folder)
        sync_directory(self._path.parent)


def read_true_state(batch: Batch) -> Status:
    """Return the status as it truly is, changing nothing.

    Raises:
        UsageError: the status file is something else.
        StorageError: it can't be read.
    """
    return StatusFile(batch).true_state()


def _blank(expansion: Expansion) -> Entry:
    return Entry(output=str(expansion.output), name=expansion.name, recipe=str(expansion.recipe))
