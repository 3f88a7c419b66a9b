"""A run's own branch on the Hub: its plan, who is at work, its sources, and the shards that are whole.

A branch beside the target holds everything unfinished, so that a run can be
resumed from any machine and nothing of it shows before it is finished. Each
commit names the one that it follows and says in `run.json` of which run it is,
and the how manieth that this run tried to make; so a run that another one took
over finds out with its next commit, and one whose answer was lost recognises its
own. A commit that was given up has its number too: it may have been made, and
holds less than the next one.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from distexpand.commit.hub.commit import BranchMovedError, commit_once
from distexpand.commit.hub.quota import once_allowed
from distexpand.commit.stamps import SourceStamp, decode_stamps, encode_stamps
from distexpand.commit.work_directory import taken_over
from distexpand.engine.receipt import Receipt, decode_receipt, encode_receipt
from distexpand.errors import UsageError
from distexpand.formats.json_record import record
from distexpand.pauses import thread_pool
from distexpand.planning.codec.plans import decode_plan, encode_plan, plan_digest
from distexpand.planning.model import Plan
from distexpand.storage.hub.client import hub_library
from distexpand.storage.hub.repository import HubRepository, Snapshot
from distexpand.storage.local.directories import WORK_DIRECTORY

BRANCH_PREFIX = "distexpand-"
_DIGITS = 12
_RUN_NAME = re.compile(rf"{BRANCH_PREFIX}[0-9a-f]{{{_DIGITS}}}")
_PLAN = f"{WORK_DIRECTORY}/plan"
_RUN = f"{WORK_DIRECTORY}/run.json"
_SOURCES = f"{WORK_DIRECTORY}/sources.json"
_RECEIPTS = f"{WORK_DIRECTORY}/receipts/"
_READERS = 8
_LOOKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Of which run a branch is, and how far it is.

    `key` is another one each time that the branch is taken over, `step` counts the commits that
    were tried under it, those given up included. `target` is the branch that is to hold the output,
    and `begun_at` its commit when the run was begun; `overwrites` says whether what the target held
    then may be replaced.
    """

    key: str
    step: int
    target: str
    begun_at: str
    overwrites: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SentShard:
    """A whole shard: its receipt, and the SHA-256 of its bytes, by which the Hub knows large files."""

    receipt: Receipt
    sha256: str


def branch_of(plan: Plan) -> str:
    """Return the name of the branch of a plan's runs."""
    return f"{BRANCH_PREFIX}{plan_digest(plan)[:_DIGITS]}"


def run_branches(branches: Mapping[str, str]) -> dict[str, str]:
    """Return those branches that have the name of a run's; what they hold says whether they are one."""
    return {name: commit for name, commit in branches.items() if _RUN_NAME.fullmatch(name)}


class RunBranch:
    """The branch of a run that this process holds until another one takes it over."""

    def __init__(
        self,
        repository: HubRepository,
        name: str,
        head: str,
        state: RunState,
        told: Callable[[str], None],
    ) -> None:
        """Say which branch, at which commit it was seen, what is written of the run, who hears of waits."""
        self.name = name
        self.head = head
        self.state = state
        self._repository = repository
        self._told = told
        self._tried: list[tuple[str, bytes]] | None = None

    def commit(self, message: str, operations: Sequence[Any]) -> None:
        """Add a commit of additions to the branch.

        Raises:
            OutputTakenError: another run has taken it over or deleted it.
            HubError: the Hub refused, takes no more commits for now, or stayed out of reach.
        """
        tried = [(operation.path_in_repo, operation.upload_info.sha256) for operation in operations]
        # What is tried again isn't something else: if it was made, that was it.
        if tried != self._tried:
            self.state = replace(self.state, step=self.state.step + 1)
        self._tried = tried
        for _ in range(_LOOKS):
            try:
                self.head = self._committed(message, operations)
            except BranchMovedError as moved:
                self.head = self._given_up(moved.head)
            else:
                self._tried = None
                return
        raise taken_over(self._repository.place)

    def _committed(self, message: str, operations: Sequence[Any]) -> str:
        """Return the commit that was made of the operations and the state, exactly these."""
        state = self.state
        return commit_once(
            self._repository,
            self.name,
            [*operations, addition(_RUN, json.dumps(asdict(state)).encode())],
            parent=self.head,
            message=message,
            is_ours=lambda commit: read_state(self._repository, commit) == state,
        )

    def _given_up(self, head: str | None) -> str:
        """Return the commit that is on the branch instead, if it is an earlier try of this run.

        All of those follow the commit that this run knew last: there is one at most.

        Raises:
            OutputTakenError: it is another run's, or the branch was deleted.
            HubError: it can't be read.
        """
        state = read_state(self._repository, head) if head is not None else None
        if head is None or state is None or state.key != self.state.key:
            raise taken_over(self._repository.place) from None
        return head

    def begin(self, plan: Plan, texts: Mapping[str, bytes]) -> None:
        """Make the first commit of a run: its plan, and texts whose faults are to show before its end.

        Raises:
            OutputTakenError: another run was faster.
            HubError: the Hub refused or stayed out of reach.
        """
        self._repository.create_branch(self.name, at=self.head)
        files = {_PLAN: encode_plan(plan), **texts}
        self._commit_once_allowed("Begin an expansion", [addition(path, raw) for path, raw in files.items()])

    def take_over(self) -> None:
        """Let every other run on this branch know, with its next commit, that it has lost it.

        Raises:
            OutputTakenError: yet another run was faster.
            HubError: the Hub refused or stayed out of reach.
        """
        self._commit_once_allowed("Resume an expansion", [])

    def hold_sources(self, stamps: Sequence[SourceStamp]) -> None:
        """Note the sources' state.

        Raises:
            OutputTakenError: another run has taken the branch over.
            HubError: the Hub refused or stayed out of reach.
        """
        self._commit_once_allowed("Note the sources", [addition(_SOURCES, encode_stamps(stamps))])

    def sources(self) -> tuple[SourceStamp, ...]:
        """Return the sources' state as it was noted; none if it wasn't.

        Raises:
            OutputError: the note is damaged.
            HubError: it can't be read.
        """
        if _SOURCES not in self._repository.at(self.head).files:
            return ()
        return decode_stamps(self._read(_SOURCES), origin=f"{self._repository.place}: {_SOURCES}")

    def shards(self) -> dict[str, SentShard]:
        """Return the shards that are on the branch as their receipts say.

        Raises:
            HubError: they can't be listed or read.
        """
        found = self._repository.at(self.head)
        paths = [path for path in found.files if path.startswith(_RECEIPTS)]
        with thread_pool(_READERS) as pool:
            shards = list(pool.map(lambda path: _decoded(self._read(path)), paths))
        return {
            shard.receipt.shard: shard for shard in shards if shard is not None and _is_there(shard, found)
        }

    def _commit_once_allowed(self, message: str, operations: Sequence[Any]) -> None:
        once_allowed(lambda: self.commit(message, operations), self._told)

    def _read(self, path: str) -> bytes:
        return self._repository.read(path, self.head)


def read_state(repository: HubRepository, commit: str) -> RunState | None:
    """Return of which run a commit is; nothing where it is of none.

    Raises:
        HubError: it can't be read.
    """
    if _RUN not in repository.at(commit).files:
        return None
    try:
        return record(RunState, json.loads(repository.read(_RUN, commit)))
    except (TypeError, ValueError, RecursionError):
        return None


def read_plan(repository: HubRepository, commit: str) -> Plan | None:
    """Return the plan of a run's commit; nothing if it hadn't come that far.

    Raises:
        UsageError: it is damaged or of another version.
        HubError: it can't be read.
    """
    if _PLAN not in repository.at(commit).files:
        return None
    origin = f"{repository.place}: {_PLAN} of an unfinished run"
    try:
        return decode_plan(repository.read(_PLAN, commit), origin=origin)
    except UsageError as error:
        raise UsageError(error.message, hint="Start anew with --overwrite.") from None


def first_state(*, target: str, begun_at: str, overwrites: bool) -> RunState:
    """Return the state of a run that is about to begin."""
    return RunState(key=secrets.token_hex(8), step=0, target=target, begun_at=begun_at, overwrites=overwrites)


def receipt_addition(shard: SentShard) -> Any:
    """Return the operation that adds a shard's receipt."""
    text = json.dumps({"sha256": shard.sha256, "receipt": encode_receipt(shard.receipt)})
    return addition(f"{_RECEIPTS}{shard.receipt.shard}.json", text.encode())


def addition(path: str, raw: bytes) -> Any:
    """Return the library's operation that gives a file its bytes."""
    return hub_library().CommitOperationAdd(path_in_repo=path, path_or_fileobj=raw)


def _decoded(raw: bytes) -> SentShard | None:
    try:
        document = json.loads(raw)
        return SentShard(receipt=decode_receipt(document["receipt"]), sha256=str(document["sha256"]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return None


def _is_there(shard: SentShard, found: Snapshot) -> bool:
    file = found.files.get(shard.receipt.shard)
    if file is None or file.size != shard.receipt.size:
        return False
    return not file.is_large or file.etag == shard.sha256
