"""The committer of an output in an object store: the one place that gives files their final names there.

The order is that of local outputs (`committer`): receipt, then the shard's name; all shards, then
side files and index; the manifest last. All state lies beside the output in the store, so that any
machine can go on with a run.

A store can't rename a folder to fence off who is taken for dead, so this does: every file is first
staged (an upload in progress, or an object beside), then the lease is asked for, then the staged
thing is completed where no file of that name is. Whoever takes over replaces the lease first, and
then drops all that is staged. So of a zombie that is still at work

- what it has staged, the other one drops, or it was complete before and is seen;
- what it stages later, it doesn't complete, since it asks for the lease in between;
- what it completes at that very moment is a whole file of its own run. If the other one goes on
  with the same plan, it is the file that was wanted. If that one has another plan, it finds the name
  taken and ends with an error: neither ever replaces a file.

What a zombie can still do: add receipts to its own run's folder and remove that folder, which no
other run uses; and, if it was removing it when it was taken for dead, remove the other one's lease,
which then stops. Stores that ignore conditions have all of this but the refusals.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Self

from distexpand.commit import object_work as ow
from distexpand.commit.committer import OutputMode
from distexpand.commit.complete import require_sizes
from distexpand.commit.leased_names import LeasedNames
from distexpand.commit.manifest import MANIFEST_NAME, is_manifest_of
from distexpand.commit.object_lease import ObjectLease, Pace, new_folder, take, taken_over
from distexpand.commit.object_occupied import (
    Contents,
    look,
    obsolete_files,
    own_manifest,
    own_names,
    require_vacant,
)
from distexpand.commit.output_files import manifest_text, require_same, require_shards, small_files
from distexpand.commit.own_files import names_of_plan
from distexpand.commit.stamps import SourceStamp, decode_stamps, encode_stamps, require_same_sources
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.engine.receipt import Receipt
from distexpand.errors import DistexpandError, StorageError
from distexpand.plan.codec import same_work
from distexpand.plan.model import Plan
from distexpand.storage.address import Address
from distexpand.storage.local import LocalOutput
from distexpand.storage.object_files import ObjectFiles
from distexpand.storage.object_output import final_names
from distexpand.storage.ranges import OutputStore


class ObjectCommitter:
    """Opens an output in an object store for one plan, and keeps others away until it is closed.

    `plan`, `receipts` and `finished` are as those of `Committer`. `store` is where attempts are begun.
    """

    store: OutputStore

    def __init__(
        self,
        address: Address,
        plan: Plan,
        mode: OutputMode,
        *,
        scratch: LocalOutput | None = None,
        run: str = "",
        wait: float = 0.0,
        told: Callable[[str], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Open the output.

        Args:
            address: its folder in the store.
            plan: to execute.
            mode: what may be there.
            scratch: where shards are put together, for stores that they can't be streamed to.
            run: as for the lease, like those that follow.
            wait: seconds.
            told: gets lines for people.
            pace: of the lease.
        """
        self.plan = plan
        self.receipts: dict[str, Receipt] = {}
        self.finished = False
        self._lease: ObjectLease | None = None
        self._files = ObjectFiles(address)
        self._scratch = ExitStack()
        self._sweeps = False
        self._journalled: set[str] = set()
        contents = look(self._files)
        obsolete = self._admit(mode, contents)
        if self.finished and not contents.traces:
            return
        try:
            folder = contents.work.folder if contents.work else ""
            pace = pace or Pace()
            self._lease = take(self._files, folder=folder, run=run, wait=wait, told=told, pace=pace)
            staging = self._scratch.enter_context(final_names(self._files, scratch))
            self._names = LeasedNames(self._files, staging, self._lease)
            self._sweeps = True
            self._open(mode, plan, contents, obsolete)
            if not self.finished:
                self.store = staging.output(self._work.folder)
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        """The output, for people and for workers."""
        return str(self._files.address)

    def require_held(self) -> None:
        """Check that no other run is known to have taken the output over.

        Raises:
            OutputTakenError: one has; what this one still writes can't harm it.
        """
        if self._lease is not None and self._lease.lost:
            raise taken_over(self._files.address)

    def _open(self, mode: OutputMode, plan: Plan, before: Contents, obsolete: tuple[str, ...]) -> None:
        """Look again, now that nobody else may change anything, and begin or go on."""
        contents = look(self._files)
        if (contents.visible, contents.work) != (before.visible, before.work):
            self.plan, self.finished = plan, False
            obsolete = self._admit(mode, contents)
        if self.finished:
            self._end_run()
            return
        if mode is OutputMode.OVERWRITE or contents.work is None:
            self._work = self._start_anew(mode, contents, obsolete)
        else:
            self._work = contents.work
        ow.write_notice(self._files)
        self._remove_obsolete()
        self.receipts = self._names.restore(ow.read_receipts(self._work))
        self._names.clear(names_of_plan(self.plan))

    def _admit(self, mode: OutputMode, contents: Contents) -> tuple[str, ...]:
        """Check that the mode allows what is there, changing nothing; return files to replace."""
        if mode is OutputMode.FRESH:
            require_vacant(self._files, contents)
            return ()
        if mode is OutputMode.OVERWRITE:
            return obsolete_files(self._files, contents)
        self._admit_resume(contents)
        return ()

    def _admit_resume(self, contents: Contents) -> None:
        replacing = contents.work is not None and ow.read_obsolete(contents.work)
        stored = ow.stored_plan(contents.work) if contents.work is not None else None
        if MANIFEST_NAME in contents.visible and not replacing:
            made = own_manifest(self._files)
            require_same(is_manifest_of(made, self.plan), output=self.location)
            require_sizes(contents.visible.get, made, self.plan, output=self.location)
            self.finished = True
        elif stored is not None:
            require_same(same_work(stored, self.plan), output=self.location)
            self.plan = replace(stored, locations=self.plan.locations)
        else:
            require_vacant(self._files, contents)

    def _start_anew(self, mode: OutputMode, contents: Contents, obsolete: tuple[str, ...]) -> ow.ObjectWork:
        """Drop what earlier runs have staged, and have the lease name a new run's folder."""
        assert self._lease is not None
        self._names.clear([*own_names(self._files, contents), *names_of_plan(self.plan)])
        after = look(self._files)
        if after.visible != contents.visible:  # completed just before it would have been dropped
            obsolete = self._admit(mode, after)
        work = ow.ObjectWork(files=self._files, folder=new_folder())
        ow.create(work, self.plan, obsolete)
        self._lease.move_to(work.folder)
        self._files.remove(ow.leftovers(self._files, keep=work.folder))
        return work

    def _remove_obsolete(self) -> None:
        """Remove an earlier output's files, its manifest first so that no half of it looks whole."""
        names = ow.read_obsolete(self._work)
        if MANIFEST_NAME in names:
            self._files.remove([MANIFEST_NAME])
        self._files.remove([name for name in names if name != MANIFEST_NAME])
        self._files.remove([self._work.obsolete])

    def hold_sources(self, stamps: Sequence[SourceStamp]) -> None:
        """Note the sources' state, or check it if shards were made of them already; before any commit.

        Raises:
            OutputError: a source changed since.
            StorageError: the note can't be read or written.
        """
        path = self._work.sources
        found = self._files.read(path) if self.receipts else None
        if found is not None:
            require_same_sources(decode_stamps(found.raw, origin=self._work.origin(path)), stamps)
        self._files.write(path, encode_stamps(stamps))

    def commit(self, receipt: Receipt) -> None:
        """Give a shard its final name.

        Raises:
            OutputError: the attempt isn't as its receipt says, or the name is another file's.
            StorageError: the store doesn't do it.
        """
        self.require_held()
        self._names.require_whole(receipt)
        ow.add_receipt(self._work, receipt)
        self._journalled.add(receipt.attempt)
        self._names.give(receipt.shard, receipt.attempt, receipt.size)
        self.receipts[receipt.shard] = receipt

    def publish(self, side_files: dict[str, bytes]) -> None:
        """Finish the output: side files, texts, index, manifest; then remove the work folder.

        Args:
            side_files: the bytes of the plan's copied files by output name.

        Raises:
            OutputError: shards are missing, or a name is another file's.
            StorageError: a file can't be written.
        """
        self.require_held()
        require_shards(self.plan, self.receipts, output=self.location)
        files = small_files(self.plan, side_files)
        for name, raw in files.items():
            self._names.put(name, raw)
        # Before the manifest, so that the notice never stands beside a whole output.
        self._files.remove([NOTICE_NAME])
        self._names.put(MANIFEST_NAME, manifest_text(self.plan, self.receipts, files))
        self._names.clear(names_of_plan(self.plan))
        self._end_run()
        self.finished = True

    def _end_run(self) -> None:
        """Remove what runs left. What is listed before the lease says that all is over is no later run's."""
        assert self._lease is not None
        left = ow.leftovers(self._files)
        self._lease.end()
        self._files.remove([*left, NOTICE_NAME])
        self._lease.remove()

    def close(self) -> None:
        """Let go of the output; what is staged without a receipt is dropped: nobody will complete it."""
        if self._lease is not None:
            if self._sweeps and not self.finished:
                with suppress(DistexpandError):
                    self._names.clear(names_of_plan(self.plan), keep=self._journalled)
            self._lease.close()
            self._lease = None
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if isinstance(exception[1], StorageError):
            # Attempts have been dropped as far as the store answered; it needn't be asked for more now.
            self._sweeps = False
        self.close()
