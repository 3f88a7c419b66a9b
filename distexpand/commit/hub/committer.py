"""The committer of outputs on the Hugging Face Hub: shard by shard to a branch of the run, then one commit.

A whole shard is sent as soon as it is there and its local file deleted, so that a
model of any size passes through a disk that holds two shards. It is committed,
with its receipt, to a branch of the run's own; the target isn't touched before the
last commit, which has the Hub copy all shards there and adds the small files. A
run that was interrupted is resumed from that branch alone, on any machine.

Rejected: sending shards without committing them, which nobody could resume from
another machine and whose files the Hub may collect; a pull request, which shows
an unfinished output to everyone.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from distexpand.commit.committer import OutputMode
from distexpand.commit.files import remove, size_of
from distexpand.commit.hub.opening import open_run
from distexpand.commit.hub.publish import publish
from distexpand.commit.hub.quota import once_allowed, unless_too_many
from distexpand.commit.hub.run import RunBranch, SentShard, read_state, receipt_addition, run_branches
from distexpand.commit.hub.upload import Upload, offers_xet, send_file
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.output_files import manifest_text, require_shards, small_files
from distexpand.commit.stamps import SourceStamp, require_same_sources
from distexpand.commit.work_directory import taken_over
from distexpand.engine.receipt import Receipt
from distexpand.errors import DistexpandError, OutputError, OutputTakenError, UsageError
from distexpand.planning.model import Plan
from distexpand.storage.address import HUB, Address
from distexpand.storage.hub.client import is_logged_in, page_of
from distexpand.storage.hub.errors import HubError
from distexpand.storage.hub.repository import MAIN, HubRepository
from distexpand.storage.local.staging import StagingFolder

_MISSING = 404


class HubCommitter:
    """Opens a branch of a repository for one plan; has what `Committer` has.

    `receipts` holds the shards that are on the run's branch, `attempts` is the local folder in
    which attempts are written. `plan` is the one to execute: on a resume the stored one.
    """

    def __init__(
        self,
        address: Address,
        plan: Plan,
        mode: OutputMode,
        *,
        scratch: Path | None = None,
        private: bool = True,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open the output.

        Args:
            address: the repository; its revision is the branch that is to hold the output, by
                default the main one.
            plan: what is to be made.
            mode: what may be there. As the history keeps everything, a model card that stands
                there alone counts as nothing.
            scratch: where the folder of attempts is made; that of temporary files if not given.
            private: whether a repository that isn't there yet is made a private one, as is the
                careful choice: it can be opened later, but nothing can be made unseen.
            told: takes in words what is waited for.

        Raises:
            UsageError: the mode doesn't allow what is there.
            OutputTakenError: another run was faster.
            OutputError: a finished output isn't whole any more.
            StorageError: the Hub refused or stayed out of reach.
        """
        self._repository = _repository(address)
        self._told = told
        self._lost = False
        self._waiting: list[tuple[SentShard, Upload]] = []
        if not self._repository.exists():
            self._repository.create(private=private)
        opened = open_run(self._repository, plan, mode, target=address.revision or MAIN, told=told)
        self.plan = opened.plan
        self.finished = opened.branch is None
        self._opened = opened.branch
        self.receipts: dict[str, Receipt] = {}
        self._xet = False
        if opened.branch is not None:
            self._xet = offers_xet(self._repository, opened.branch.name)
            self.receipts = {name: shard.receipt for name, shard in opened.branch.shards().items()}
        self._staging = StagingFolder(scratch)
        self.attempts = self._staging.path

    @property
    def _run(self) -> RunBranch:
        if self._opened is None:
            raise OutputError(f"{self._repository.place}: is finished already")
        return self._opened

    def require_held(self) -> None:
        """Check that no other run has taken the output over, as far as this one's commits have shown.

        Raises:
            OutputTakenError: one has.
        """
        if self._lost:
            raise taken_over(self._repository.place)

    def hold_sources(self, stamps: Sequence[SourceStamp]) -> None:
        """Note the sources' state, or check it if shards were made of them already; before any commit.

        Raises:
            OutputError: a source changed since, or another run has taken the output over.
            StorageError: the note can't be read or written.
        """
        noted = self._run.sources()
        if self.receipts:
            require_same_sources(noted, stamps)
        if noted != tuple(stamps):
            self._held(lambda: self._run.hold_sources(stamps))

    def commit(self, receipt: Receipt) -> None:
        """Send a shard, delete the local file, and give the shard its name on the run's branch.

        If the Hub takes no more commits for now, the name comes together with a later shard's.

        Raises:
            OutputTakenError: another run has taken the output over.
            OutputError: the attempt isn't as its receipt says.
            StorageError: the Hub refused or stayed out of reach.
        """
        self.require_held()
        attempt = self.attempts / receipt.attempt
        if size_of(attempt) != receipt.size:
            raise OutputError(f"{attempt}: isn't the file of {receipt.size} bytes that its receipt names")
        upload = self._sent(receipt.shard, attempt)
        self._waiting.append((SentShard(receipt=receipt, sha256=upload.sha256), upload))
        remove(attempt)
        self._held(lambda: unless_too_many(self._commit_waiting))

    def publish(self, side_files: dict[str, bytes]) -> None:
        """Finish the output by one commit to its branch; then remove the run's.

        Args:
            side_files: the bytes of the plan's copied files by output name.

        Raises:
            OutputTakenError: another run has taken the output over.
            OutputError: shards are missing.
            UsageError: somebody has put files there since the run was begun.
            StorageError: the Hub refused or stayed out of reach.
        """
        self.require_held()
        self._held(lambda: once_allowed(self._commit_waiting, self._told))
        require_shards(self.plan, self.receipts, output=self._repository.place)
        files = small_files(self.plan, side_files)
        files[MANIFEST_NAME] = manifest_text(self.plan, self.receipts, files)
        once_allowed(lambda: publish(self._repository, self._run, self.plan, files), self._told)
        self.finished = True
        # The output is finished without that: a branch that stays is found by the next run, or cleaned.
        with suppress(HubError):
            self._repository.delete_branch(self._run.name)

    def close(self) -> None:
        """Let go of the output, with a last try to commit what was sent; remove the folder of attempts."""
        if self._waiting and not self._lost and not self.finished:
            with suppress(DistexpandError):
                self._commit_waiting()
        self._staging.close()

    def _commit_waiting(self) -> None:
        if not self._waiting:
            return
        operations = []
        for shard, upload in self._waiting:
            operations += [upload.operation, receipt_addition(shard)]
        names = [shard.receipt.shard for shard, _ in self._waiting]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._run.commit(f"Add {names[0]}{more}", operations)
        self.receipts |= {shard.receipt.shard: shard.receipt for shard, _ in self._waiting}
        self._waiting.clear()

    def _sent(self, name: str, file: Path) -> Upload:
        try:
            return send_file(self._repository, self._run.name, name, file, xet=self._xet)
        except HubError as error:
            if error.status == _MISSING and self._run.name not in self._repository.branches():
                self._lost = True
                raise taken_over(self._repository.place) from None
            raise

    def _held(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OutputTakenError:
            self._lost = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def clean_hub_output(address: Address) -> tuple[str, ...]:
    """Delete the branches of runs for this target that are over; return their names.

    An unfinished run's branch holds its finished shards, and stays: `--resume` goes on with it,
    `--overwrite` starts anew.

    Raises:
        UsageError: the address isn't that of a repository.
        StorageError: the Hub refused or stayed out of reach.
    """
    repository = _repository(address)
    branches, target = repository.branches(), address.revision or MAIN
    if target not in branches or MANIFEST_NAME not in repository.at(branches[target]).files:
        return ()
    over = []
    for name, commit in sorted(run_branches(branches).items()):
        state = read_state(repository, commit)
        # One that is to replace what is there isn't over, though there is a manifest.
        if state is not None and state.target == target and not state.overwrites:
            repository.delete_branch(name)
            over.append(name)
    return tuple(over)


def _repository(address: Address) -> HubRepository:
    if address.scheme != HUB or address.path:
        raise UsageError(
            f"{address}: not a repository of the Hub",
            hint="Write hf://OWNER/NAME; an output has a repository alone.",
        )
    repository = HubRepository(name=address.root, place=str(address))
    if not is_logged_in():
        page = page_of(address.root)
        raise HubError(
            f"{address}: writing to the Hub needs a login",
            hint=f"Log in with a token that may write to {page}: hf auth login (or set HF_TOKEN)",
        )
    return repository
