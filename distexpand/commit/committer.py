"""The committer: the one place that gives files their final names.

Order is everything: receipt, then the shard's name; all shards, then side
files, index, config; the manifest last. Whoever sees a final name sees a whole
file, and whoever sees a manifest sees a whole output.
"""

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Self

from distexpand.commit import work_directory as wd
from distexpand.commit.complete import require_complete
from distexpand.commit.files import make_directory, remove, size_of, sync_directory, write_whole
from distexpand.commit.journal import append_receipt, read_journal
from distexpand.commit.lease import Lease, enter, knock
from distexpand.commit.manifest import MANIFEST_NAME, is_manifest_of
from distexpand.commit.occupied import obsolete_files, own_manifest, read_obsolete, require_vacant
from distexpand.commit.output_files import manifest_text, require_same, require_shards, small_files
from distexpand.commit.stamps import SourceStamp, read_stamps, require_same_sources, write_stamps
from distexpand.engine.receipt import Receipt
from distexpand.errors import OutputError
from distexpand.planning.codec.plans import same_work
from distexpand.planning.model import Plan
from distexpand.storage.local.os_errors import storage_error


class OutputMode(Enum):
    """What may be in the output directory when a run begins."""

    FRESH = "nothing"
    RESUME = "an unfinished run of the same plan"
    OVERWRITE = "an earlier output, which is replaced"


class Committer:
    """Opens an output for one plan, and keeps others away until it is closed.

    `receipts` holds the shards that have their final names. `plan` is the one to execute: on a
    resume the stored one, whose texts may be those of an earlier version.
    """

    def __init__(
        self,
        output: Path,
        plan: Plan,
        mode: OutputMode,
        *,
        run: str = "",
        wait: float = 0.0,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """Open the output; `run`, `wait` and `told` are those of the lease."""
        self.plan = plan
        self._output = output
        self._work = wd.current(output)
        self._lease: Lease | None = None
        self.receipts: dict[str, Receipt] = {}
        self.finished = False
        self._admit(mode)
        if self.finished and not self._work.path.exists():
            wd.clear_done(self._work)
            return
        lock = knock(output, wait=wait, told=told)
        try:
            # Another run may have come and gone between the first look and the lock.
            self._work, self.finished = wd.current(output), False
            obsolete = self._admit(mode)
            if self.finished:
                wd.dismantle(self._work)
                return
            self._lease = enter(output, lock, run=run, before=self._work)
            self._work, lock = self._lease.work, -1
            self._begin(mode, obsolete)
        except BaseException:
            self.close()
            raise
        finally:
            if lock >= 0:
                os.close(lock)

    @property
    def output(self) -> Path:
        """The output's directory."""
        return self._output

    @property
    def attempts(self) -> Path:
        """The folder in which this term's attempts are written."""
        return self._work.attempts

    def require_held(self) -> None:
        """Check that no other run has taken the output over.

        Raises:
            OutputError: one has; what this one still writes can't harm it.
        """
        if self._lease is not None and self._lease.lost():
            raise wd.taken_over(self._output)

    def _admit(self, mode: OutputMode) -> tuple[str, ...]:
        """Check that the mode allows what is there, changing nothing; return files to replace."""
        if mode is OutputMode.FRESH:
            require_vacant(self._output)
            return ()
        if mode is OutputMode.OVERWRITE:
            return obsolete_files(self._output)
        self._admit_resume()
        return ()

    def _admit_resume(self) -> None:
        manifest = self._output / MANIFEST_NAME
        # What an overwriting run is about to remove doesn't count as finished.
        replacing = self._work.exists() and self._work.obsolete.exists()
        if manifest.exists() and not replacing:
            made = own_manifest(self._output)
            require_same(is_manifest_of(made, self.plan), output=str(self._output))
            require_complete(self._output, made, self.plan)
            self.finished = True
        elif self._work.exists():
            stored = wd.stored_plan(self._work)
            require_same(same_work(stored, self.plan), output=str(self._output))
            self.plan = replace(stored, locations=self.plan.locations)
        else:
            require_vacant(self._output)

    def _begin(self, mode: OutputMode, obsolete: tuple[str, ...]) -> None:
        if mode is OutputMode.OVERWRITE or not self._work.exists():
            self._start_anew(obsolete)
        self._remove_obsolete()
        receipts = read_journal(self._work.journal)
        wd.clear_attempts(self._work, keep={receipt.attempt for receipt in receipts.values()})
        for receipt in receipts.values():
            if self._restore(receipt):
                self.receipts[receipt.shard] = receipt
        wd.clear_attempts(self._work, keep=set())

    def _start_anew(self, obsolete: tuple[str, ...]) -> None:
        wd.make_attempts(self._work)
        names = json.dumps(list(obsolete)).encode()
        write_whole(self._work.obsolete, names, attempts=self._work.attempts)
        remove(self._work.journal)
        remove(self._work.sources)
        wd.create(self._work, self.plan)

    def _remove_obsolete(self) -> None:
        """Remove an earlier output's files, its manifest first so that no half of it looks whole."""
        for name in sorted(read_obsolete(self._work), key=lambda name: name != MANIFEST_NAME):
            self._put_aside(self._output / name)
            if name == MANIFEST_NAME:
                sync_directory(self._output)
        remove(self._work.obsolete)

    def _put_aside(self, path: Path) -> None:
        """Move a file among the attempts, which are cleared afterwards.

        Removing it by its name wouldn't be fenced: that may be a file of the run that took over.
        """
        try:
            path.rename(self._work.attempts / f"obsolete.{secrets.token_hex(8)}")
        except FileNotFoundError:
            if not self._work.attempts.exists():
                raise wd.taken_over(self._output) from None
        except OSError as error:
            raise storage_error("remove", path, error) from None

    def _restore(self, receipt: Receipt) -> bool:
        """Give a journalled shard its final name if a crash came between, and say if it is there."""
        final, attempt = self._output / receipt.shard, self._work.attempts / receipt.attempt
        if attempt.exists():
            _rename(attempt, final)
            sync_directory(self._output)
        return final.exists() and final.stat().st_size == receipt.size

    def hold_sources(self, stamps: Sequence[SourceStamp]) -> None:
        """Note the sources' state, or check it if shards were made of them already; before any commit.

        Raises:
            OutputError: a source changed since.
            StorageError: the note can't be read or written.
        """
        if self.receipts:
            require_same_sources(read_stamps(self._work.sources), stamps)
        write_stamps(self._work.sources, stamps, attempts=self._work.attempts)

    def commit(self, receipt: Receipt) -> None:
        """Give a shard its final name.

        Raises:
            OutputError: the attempt isn't as its receipt says.
            StorageError: journal or rename failed.
        """
        self.require_held()
        attempt = self._work.attempts / receipt.attempt
        if size_of(attempt) != receipt.size:
            raise OutputError(f"{attempt}: isn't the file of {receipt.size} bytes that its receipt names")
        append_receipt(self._work.journal, receipt)
        _rename(attempt, self._output / receipt.shard)
        sync_directory(self._output)
        self.receipts[receipt.shard] = receipt

    def publish(self, side_files: dict[str, bytes]) -> None:
        """Finish the output: side files, texts, index, manifest; then remove the work directory.

        Args:
            side_files: the bytes of the plan's copied files by output name.

        Raises:
            OutputError: shards are missing.
            StorageError: a file can't be written.
        """
        self.require_held()
        require_shards(self.plan, self.receipts, output=str(self._output))
        files = small_files(self.plan, side_files)
        for name, raw in files.items():
            make_directory((self._output / name).parent)
            write_whole(self._output / name, raw, attempts=self._work.attempts)
        for folder in {parent for name in files for parent in PurePosixPath(name).parents}:
            sync_directory(self._output / folder)
        manifest = manifest_text(self.plan, self.receipts, files)
        # Before the manifest, so that the notice never stands beside a whole output.
        remove(self._work.notice)
        write_whole(self._output / MANIFEST_NAME, manifest, attempts=self._work.attempts)
        sync_directory(self._output)
        wd.dismantle(self._work)
        self.finished = True

    def close(self) -> None:
        """Let go of the output."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _rename(attempt: Path, final: Path) -> None:
    try:
        attempt.rename(final)
    except OSError as error:
        raise storage_error("rename", attempt, error) from None
