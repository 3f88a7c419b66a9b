"""The committer: the one place that gives files their final names.

Order is everything: receipt, then the shard's name; all shards, then side
files, index, config; the manifest last. Whoever sees a final name sees a whole
file, and whoever sees a manifest sees a whole output.
"""

import hashlib
import json
import os
from enum import Enum
from pathlib import Path
from typing import Self

from distexpand.commit import work_directory as wd
from distexpand.commit.files import remove, sync_directory, write_whole
from distexpand.commit.journal import append_receipt, read_journal
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest, encode_manifest, make_manifest
from distexpand.commit.occupied import obsolete_files, read_obsolete, require_vacant
from distexpand.engine.receipt import Receipt
from distexpand.errors import OutputError
from distexpand.formats.index import INDEX_NAME, encode_index
from distexpand.plan.check import shard_header
from distexpand.plan.codec import plan_digest
from distexpand.plan.model import Plan
from distexpand.storage.local import storage_error


class OutputMode(Enum):
    """What may be in the output directory when a run begins."""

    FRESH = "nothing"
    RESUME = "an unfinished run of the same plan"
    OVERWRITE = "an earlier output, which is replaced"


class Committer:
    """Opens an output for one plan, and keeps others away until it is closed.

    `receipts` holds the shards that have their final names.
    """

    def __init__(self, output: Path, plan: Plan, mode: OutputMode) -> None:
        self._plan = plan
        self._output = output
        self._work = wd.WorkDirectory(output=output)
        self.receipts: dict[str, Receipt] = {}
        self.finished = False
        self._lock = -1
        self._admit(mode)
        if self.finished and not self._work.path.exists():
            return
        self._lock = wd.take_lock(self._work)
        try:
            # Another run may have come and gone between the first look and the lock.
            obsolete = self._admit(mode)
            if self.finished:
                wd.dismantle(self._work)
            else:
                self._begin(mode, obsolete)
        except BaseException:
            self.close()
            raise

    def _admit(self, mode: OutputMode) -> tuple[str, ...]:
        """Check that the mode allows what is there, changing nothing; return files to replace."""
        if mode is OutputMode.FRESH:
            require_vacant(self._output)
            return ()
        if mode is OutputMode.OVERWRITE:
            return obsolete_files(self._output)
        manifest = self._output / MANIFEST_NAME
        # What an overwriting run is about to remove doesn't count as finished.
        replacing = self._work.exists() and self._work.obsolete.exists()
        if manifest.exists() and not replacing:
            made = decode_manifest(manifest.read_bytes(), origin=str(manifest))
            wd.require_same_plan(made.plan_digest, plan_digest(self._plan), self._output)
            self.finished = True
        elif self._work.exists():
            stored = plan_digest(wd.stored_plan(self._work))
            wd.require_same_plan(stored, plan_digest(self._plan), self._output)
        else:
            require_vacant(self._output)
        return ()

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
        self._work.attempts.mkdir(parents=True, exist_ok=True)
        names = json.dumps(list(obsolete)).encode()
        write_whole(self._work.obsolete, names, attempts=self._work.attempts)
        remove(self._work.journal)
        wd.create(self._work, self._plan)

    def _remove_obsolete(self) -> None:
        """Remove an earlier output's files, its manifest first so that no half of it looks whole."""
        for name in sorted(read_obsolete(self._work), key=lambda name: name != MANIFEST_NAME):
            remove(self._output / name)
            if name == MANIFEST_NAME:
                sync_directory(self._output)
        remove(self._work.obsolete)

    def _restore(self, receipt: Receipt) -> bool:
        """Give a journalled shard its final name if a crash came between, and say if it is there."""
        final, attempt = self._output / receipt.shard, self._work.attempts / receipt.attempt
        if attempt.exists():
            _rename(attempt, final)
            sync_directory(self._output)
        return final.exists() and final.stat().st_size == receipt.size

    def commit(self, receipt: Receipt) -> None:
        """Give a shard its final name.

        Raises:
            OutputError: the attempt isn't as its receipt says.
            StorageError: journal or rename failed.
        """
        attempt = self._work.attempts / receipt.attempt
        if not attempt.exists() or attempt.stat().st_size != receipt.size:
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
        missing = [shard.name for shard in self._plan.shards if shard.name not in self.receipts]
        if missing:
            raise OutputError(f"{self._output}: {len(missing)} shards are missing, first {missing[0]}")
        files = dict(side_files)
        if len(self._plan.shards) > 1:
            files[INDEX_NAME] = index_text(self._plan).encode()
        files |= {text.name: text.text.encode() for text in self._plan.texts}
        for name, raw in files.items():
            write_whole(self._output / name, raw, attempts=self._work.attempts)
        for folder in {(self._output / name).parent for name in files} | {self._output}:
            sync_directory(folder)
        digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        manifest = make_manifest(self._plan, self.receipts.values(), digests)
        raw_manifest = encode_manifest(manifest)
        write_whole(self._output / MANIFEST_NAME, raw_manifest, attempts=self._work.attempts)
        sync_directory(self._output)
        wd.dismantle(self._work)
        self.finished = True

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def index_text(plan: Plan) -> str:
    """Return the shard index of a plan's output."""
    weight_map: dict[str, str] = {}
    size = 0
    for shard in plan.shards:
        weight_map |= dict.fromkeys(shard_header(shard).tensors, shard.name)
        size += shard.size - len(shard.header)
    return encode_index(weight_map, total_size=size, total_parameters=plan.parameters)


def _rename(attempt: Path, final: Path) -> None:
    try:
        attempt.rename(final)
    except OSError as error:
        raise storage_error("rename", attempt, error) from None
