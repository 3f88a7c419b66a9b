"""The last commit of an output on the Hub, which makes all of it visible at once.

Shards are copied from the run's branch by the Hub: for a file that it keeps as a
large one, which weights are by the rules of every new repository, no byte moves.
"""

from collections.abc import Mapping

from distexpand.commit.hub.commit import BranchMovedError, commit_once
from distexpand.commit.hub.occupied import obsolete_files, require_vacant
from distexpand.commit.hub.run import RunBranch, addition
from distexpand.commit.manifest import MANIFEST_NAME
from distexpand.commit.own_files import and_more
from distexpand.errors import OutputError
from distexpand.planning.model import Plan
from distexpand.storage.hub.client import hub_library
from distexpand.storage.hub.repository import HubFile, HubRepository, Snapshot

_LOOKS = 3
_MESSAGE = "Add an expanded model, made by distexpand"


def publish(repository: HubRepository, run: RunBranch, plan: Plan, files: Mapping[str, bytes]) -> None:
    """Commit a run's shards and small files, the manifest among them, to the run's target.

    Raises:
        OutputTakenError: the target doesn't stand still.
        OutputError: the run's branch lacks shards, or what is there afterwards isn't what was sent.
        UsageError: somebody has put files into the target since the run was begun.
        HubError: the Hub refused or stayed out of reach.
    """
    names = {shard.name for shard in plan.shards} | files.keys()
    shards = _sent_shards(repository, run, plan)
    for look in range(_LOOKS):
        found = repository.at(run.state.target)
        if _is_made(repository, run, found, files[MANIFEST_NAME]) and not _wrong(found, shards, names):
            return
        obsolete = _obsolete(repository, run, found)
        try:
            made = commit_once(
                repository,
                run.state.target,
                _operations(run, plan, files, [name for name in obsolete if name not in names]),
                parent=found.commit,
                message=_MESSAGE,
                is_ours=lambda commit: _holds(repository, repository.at(commit), files[MANIFEST_NAME]),
            )
        except BranchMovedError:
            # Somebody wrote to it just now; whether that is in the way is looked at again.
            if look + 1 == _LOOKS:
                raise
        else:
            _require_whole(repository, made, shards, names)
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


def _sent_shards(repository: HubRepository, run: RunBranch, plan: Plan) -> dict[str, HubFile]:
    """Return the shards that are on the run's branch, which has to hold them all."""
    found = repository.at(run.head).files
    sizes = {shard.name: shard.size for shard in plan.shards}
    missing = [name for name, size in sizes.items() if name not in found or found[name].size != size]
    if missing:
        raise OutputError(
            f"{repository.place}: branch {run.name} lacks {missing[0]}, which was committed to it "
            f"({len(missing)} such shards)",
            hint="Go on with --resume, which makes again what isn't there.",
        )
    return {name: found[name] for name in sizes}


def _is_made(repository: HubRepository, run: RunBranch, found: Snapshot, manifest: bytes) -> bool:
    """Whether the last commit was made when it was tried before, though the Hub said otherwise or nothing."""
    return found.commit != run.state.begun_at and _holds(repository, found, manifest)


def _holds(repository: HubRepository, found: Snapshot, manifest: bytes) -> bool:
    return MANIFEST_NAME in found.files and repository.read(MANIFEST_NAME, found.commit) == manifest


def _wrong(found: Snapshot, shards: Mapping[str, HubFile], names: set[str]) -> set[str]:
    """Return what isn't there of all names, or isn't the shard that was sent."""
    return (names - found.files.keys()) | {
        name for name, sent in shards.items() if found.files.get(name) != sent
    }


def _require_whole(
    repository: HubRepository, commit: str, shards: Mapping[str, HubFile], names: set[str]
) -> None:
    """Check that the Hub did what it was asked: nothing left out, every shard the one that was sent."""
    wrong = _wrong(repository.at(commit), shards, names)
    if wrong:
        raise OutputError(
            f"{repository.place}: the Hub has {and_more(wrong)} not as it was sent",
            hint="Start anew with --overwrite.",
        )
