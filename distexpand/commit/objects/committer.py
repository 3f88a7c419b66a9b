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
from typing import Self

from distexpand.commit.committer import OutputMode
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.objects import work as ow
from distexpand.commit.objects.admission import Admission, admit
from distexpand.commit.objects.lease import ObjectLease, Pace, new_folder, take, taken_over
from distexpand.commit.objects.leased_names import LeasedNames
from distexpand.commit.objects.occupied import own_names
from distexpand.commit.output_files import manifest_text, require_shards, small_files
from distexpand.commit.own_files import names_of_plan
from distexpand.commit.stamps import SourceStamp, decode_stamps, encode_stamps, require_same_sources
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.engine.receipt import Receipt
from distexpand.errors import DistexpandError, OutputError
from distexpand.planning.model import Plan
from distexpand.storage.address import Address
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.output import final_names
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
        shares: bool = False,
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
            shares: whether the store may copy bytes from sources that lie in it, and duplicates from
                shards that are whole; tensors of which nothing was read have no digests then, as
                those that share blocks on a disk.
            run: as for the lease, like those that follow.
            wait: seconds.
            told: gets lines for people.
            pace: of the lease.
        """
        self.receipts: dict[str, Receipt] = {}
        self._files = ObjectFiles(address)
        self._scratch = ExitStack()
        self._lease: ObjectLease | None = None
        self._sweeps = False
        self._journalled: set[str] = set()
        found = admit(self._files, plan, mode)
        self.plan, self.finished = found.plan, found.finished
        if found.finished and not found.contents.traces:
            return
        folder = found.contents.work.folder if found.contents.work else ""
        pace = pace or Pace()
        self._lease = take(self._files, folder=folder, run=run, wait=wait, told=told, pace=pace)
        try:
            staging = self._scratch.enter_context(final_names(self._files, scratch))
            self._names = LeasedNames(self._files, staging, self._lease)
            # Another run may have come and gone between the first look and the lease.
            found = admit(self._files, plan, mode, known=found)
            self.plan, self.finished = found.plan, found.finished
            if self.finished:
                ow.wind_up(self._files, self._lease)
                return
            self._sweeps = True
            self._begin(mode, found)
            self.store = staging.output(self._work.folder, shares=shares)
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

    def _ask_held(self) -> ObjectLease:
        assert self._lease is not None, "nothing is committed to an output that is finished or closed"
        self._lease.require_held()
        return self._lease

    def _begin(self, mode: OutputMode, found: Admission) -> None:
        if mode is OutputMode.OVERWRITE or found.contents.work is None:
            self._work = self._start_anew(mode, found)
        else:
            self._work = found.contents.work
        ow.write_notice(self._files)
        self._remove_obsolete()
        self.receipts = self._names.restore(ow.read_receipts(self._work))
        self._names.clear(names_of_plan(self.plan))

    def _start_anew(self, mode: OutputMode, found: Admission) -> ow.ObjectWork:
        """Drop what earlier runs have staged, and have the lease name a new run's folder."""
        lease = self._ask_held()
        self._names.clear([*own_names(self._files, found.contents), *names_of_plan(self.plan)])
        # What was completed just before it would have been dropped is seen now.
        found = admit(self._files, self.plan, mode, known=found)
        work = ow.ObjectWork(files=self._files, folder=new_folder())
        ow.create(work, self.plan, found.obsolete)
        lease.move_to(work.folder)
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
        try:
            self._ask_held()
            self._names.require_whole(receipt)
        except OutputError:
            self._names.drop_attempt(receipt)
            raise
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
        lease = self._ask_held()
        require_shards(self.plan, self.receipts, output=self.location)
        files = small_files(self.plan, side_files)
        for name, raw in files.items():
            self._names.put(name, raw)
        # Before the manifest, so that the notice never stands beside a whole output.
        self._files.remove([NOTICE_NAME])
        self._names.put(MANIFEST_NAME, manifest_text(self.plan, self.receipts, files))
        self._names.clear(names_of_plan(self.plan))
        ow.wind_up(self._files, lease)
        self.finished = True

    def close(self) -> None:
        """Let go of the output; what is staged without a receipt is dropped: nobody will complete it."""
        lease, self._lease = self._lease, None
        with self._scratch:
            if lease is None:
                return
            # The store may be what failed, or the user may be waiting.
            lease.hurry()
            try:
                if self._sweeps and not self.finished:
                    with suppress(DistexpandError):
                        self._names.hasty().clear(names_of_plan(self.plan), keep=self._journalled)
            finally:
                lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
