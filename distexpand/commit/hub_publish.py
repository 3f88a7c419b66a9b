"""The last commit of an output on the Hub, which makes all of it visible at once.

Shards are copied from the run's branch by the Hub: for a file that it keeps as a
large one, which weights are by the rules of every new repository, no byte moves.
"""

from collections.abc import Mapping

from distexpand.commit.hub_commit import BranchMovedError, commit_once
from distexpand.commit.hub_occupied import obsolete_files, require_vacant
from distexpand.commit.hub_run import RunBranch, addition
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.errors import OutputError
from distexpand.plan.model import Plan
from distexpand.storage.hub_client import hub_library
from distexpand.storage.hub_repository import HubRepository, Snapshot

_LOOKS = 3
_MESSAGE = "Add an expanded model, made by distexpand"


def publish(repository: HubRepository, run: RunBranch, plan: Plan, files: Mapping[str, bytes]) -> None:
    """Commit a run's shards and small files, the manifest among them, to the run's target.

    Raises:
        OutputTakenError: the target doesn't stand still.
        OutputError: what is there afterwards isn't what was sent.
        UsageError: somebody has put files into the target since the run was begun.
        HubError: the Hub refused or stayed out of reach.
    """
    names = {shard.name for shard in plan.shards} | files.keys()
    for look in range(_LOOKS):
        found = repository.at(run.state.target)
        obsolete = _obsolete(repository, run, found)
        try:
            made = commit_once(
                repository,
                run.state.target,
                _operations(run, plan, files, [name for name in obsolete if name not in names]),
                parent=found.commit,
                message=_MESSAGE,
                is_ours=lambda commit: _holds(repository, commit, files[MANIFEST_NAME]),
            )
        except BranchMovedError:
            # Somebody wrote to it just now; whether that is in the way is looked at again.
            if look + 1 == _LOOKS:
                raise
        else:
            _require_whole(repository, run, plan, made, names)
            return


def _obsolete(repository: HubRepository, run: RunBranch, found: Snapshot) -> tuple[str, ...]:
    if run.state.overwrites:
        return obsolete_files(repository, found)
    require_vacant(found, (), place=repository.place)
    return ()


def _operations(run: RunBranch, plan: Plan, files: Mapping[str, bytes], obsolete: list[str]) -> list[object]:
    library = hub_library()
    return [
        *(
            library.CommitOperationCopy(
                src_path_in_repo=shard.name, path_in_repo=shard.name, src_revision=run.head
            )
            for shard in plan.shards
        ),
        *(addition(name, raw) for name, raw in files.items()),
        *(library.CommitOperationDelete(path_in_repo=name, is_folder=False) for name in obsolete),
    ]


def _holds(repository: HubRepository, commit: str, manifest: bytes) -> bool:
    found = repository.at(commit)
    return MANIFEST_NAME in found.files and repository.read(MANIFEST_NAME, commit) == manifest


def _require_whole(
    repository: HubRepository, run: RunBranch, plan: Plan, commit: str, names: set[str]
) -> None:
    """Check that the Hub did what it was asked: nothing left out, every shard the one that was sent."""
    sent, found = repository.at(run.head).files, repository.at(commit).files
    wrong = names - found.keys()
    wrong |= {shard.name for shard in plan.shards if found.get(shard.name) != sent[shard.name]}
    if wrong:
        raise OutputError(
            f"{repository.place}: the Hub has {min(wrong)} not as it was sent ({len(wrong)} such files)",
            hint="Start anew with --overwrite.",
        )
