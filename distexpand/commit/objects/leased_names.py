"""Final names in an object store, given by who holds the lease alone: staged, asked for, completed."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from distexpand.commit.objects.lease import ObjectLease
from distexpand.engine.receipt import Receipt
from distexpand.errors import OutputError, StorageError
from distexpand.pauses import thread_pool
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.final_names import FinalNames, Made

_AT_ONCE = 16
_PAUSES = (0.0, 0.5, 2.0, 5.0)
"""Seconds: parts under way may outlive the first abort of their upload."""


class LeasedNames:
    """The final names of one output, for the run that `lease.folder` names."""

    def __init__(self, files: ObjectFiles, names: FinalNames, lease: ObjectLease) -> None:
        self._files = files
        self._names = names
        self._lease = lease

    def hasty(self) -> "LeasedNames":
        """Return the same, but giving up soon, for what is only nice to have."""
        return LeasedNames(self._files.hasty(), self._names.hasty(), self._lease)

    def require_whole(self, receipt: Receipt) -> None:
        """Check that what a receipt names is in the store, under no name yet.

        Raises:
            OutputError: it isn't.
            StorageError: the store doesn't tell.
        """
        if not self._names.is_whole(receipt.shard, receipt.attempt, receipt.size):
            raise OutputError(
                f"{self._files.address}: {receipt.attempt} isn't the file of {receipt.size} bytes "
                "that its receipt names"
            )

    def drop_attempt(self, receipt: Receipt) -> None:
        """Drop what a receipt names while another error is on its way: nobody will complete it."""
        with suppress(StorageError):
            self._names.drop_attempt(receipt.shard, receipt.attempt)

    def give(self, name: str, attempt: str, size: int) -> None:
        """Complete what is staged under its name.

        Raises:
            OutputTakenError: another run has taken the output over.
            OutputError: there is a file of that name that isn't this run's.
            StorageError: the store doesn't do it.
        """
        self._lease.require_held()
        try:
            if self._names.give(name, attempt, size):
                return
        except StorageError:
            # It may have been done though its answer was lost.
            if not self._is_ours(self._names.made(name), name, attempt, size):
                raise
            return
        if not self._is_ours(self._names.made(name), name, attempt, size):
            raise self._not_ours(name)

    def put(self, name: str, raw: bytes) -> None:
        """Give a small file its name, unless it is there as it should be.

        Raises:
            OutputTakenError: another run has taken the output over.
            OutputError: there is another file of that name.
            StorageError: it can't be written.
        """
        found = self._files.read(name)
        if found is None:
            self.give(name, self._names.stage(name, raw, run=self._lease.folder), len(raw))
        elif found.raw != raw:
            raise self._not_ours(name)

    def restore(self, receipts: Iterable[Receipt]) -> dict[str, Receipt]:
        """Return the receipts of shards that are there, after completing those that only lack their names.

        Raises:
            OutputTakenError: another run has taken the output over.
            OutputError: a shard's name is that of another file.
            StorageError: the store doesn't tell, or doesn't do it.
        """
        by_shard: defaultdict[str, list[Receipt]] = defaultdict(list)
        for receipt in receipts:
            by_shard[receipt.shard].append(receipt)
        with thread_pool(_AT_ONCE) as pool:
            restored = pool.map(self._restored, by_shard.values())
            return {receipt.shard: receipt for receipt in restored if receipt is not None}

    def _restored(self, receipts: Sequence[Receipt]) -> Receipt | None:
        name = receipts[0].shard
        made = self._names.made(name)
        for receipt in receipts:
            if made is not None and self._is_ours(made, name, receipt.attempt, receipt.size):
                return receipt
        if made is not None:
            raise self._not_ours(name)
        for receipt in receipts:
            if self._names.is_whole(name, receipt.attempt, receipt.size):
                self.give(name, receipt.attempt, receipt.size)
                return receipt
        return None

    def clear(self, names: Sequence[str], *, keep: Collection[str] = ()) -> int:
        """Drop all that is staged for these names, beside the attempts to keep; return how much that was.

        What is listed before the lease is found to be ours can't be a later holder's.

        Raises:
            OutputTakenError: another run has taken the output over.
            StorageError: the store doesn't do it.
        """
        dropped = set()
        for pause in _PAUSES:
            staged = self._names.staged(names, keep=keep)
            if not staged:
                break
            time.sleep(pause)
            self._lease.require_held()
            self._names.drop(staged)
            dropped |= {found.id for found in staged}
        return len(dropped)

    def _is_ours(self, made: Made | None, name: str, attempt: str, size: int) -> bool:
        """Whether a file was made by an attempt, or by another one of the same run: the bytes are the same.

        Some stores keep nothing beside an object's bytes; there the size has to do, as on a disk.
        """
        return (
            made is not None
            and made.size == size
            and (made.token in {"", self._names.token(name, attempt)} or made.run == self._lease.folder)
        )

    def _not_ours(self, name: str) -> OutputError:
        return OutputError(
            f"{self._files.address}: holds {name}, which this run didn't write",
            hint="Move it away and go on with --resume, or start anew with --overwrite.",
        )
