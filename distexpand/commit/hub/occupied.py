"""What a branch of the Hub holds when a run begins and when it ends, and what of it may be replaced.

Unlike in a directory, nothing is lost there: what a commit replaces or deletes
stays in the history. So names and the sizes of shards decide whether an earlier
output is still ours; a model card that somebody has edited since is replaced.
"""

from collections.abc import Collection

from distexpand.commit.manifest import MANIFEST_NAME, Manifest, decode_manifest
from distexpand.commit.own_files import and_more
from distexpand.errors import CheckpointError, UsageError
from distexpand.storage.hub.repository import HubRepository, Snapshot

ATTRIBUTES_NAME = ".gitattributes"
"""Says which files are large ones: the Hub's own file, in every repository."""

_NEW = frozenset({ATTRIBUTES_NAME, "README.md"})
"""What a repository may hold that was just made in the browser."""


def require_vacant(found: Snapshot, unfinished: Collection[str], *, place: str) -> None:
    """Check that a branch holds no model, and the repository no unfinished run.

    Raises:
        UsageError: it does; says what can be done.
    """
    held = sorted(found.files.keys() - _NEW)
    if not held and not unfinished:
        return
    if MANIFEST_NAME in held:
        hint = "It holds a finished expansion; choose another repository, or replace it with --overwrite."
    elif unfinished:
        hint = "It holds an unfinished run; go on with --resume, or start anew with --overwrite."
    else:
        hint = "Choose another repository; what distexpand didn't write, it doesn't touch."
    holds = held[0] if held else f"branch {min(unfinished)}"
    raise UsageError(f"{place}: isn't empty (holds {holds})", hint=hint)


def obsolete_files(repository: HubRepository, found: Snapshot) -> tuple[str, ...]:
    """Return the files of an earlier output, which `--overwrite` replaces.

    Raises:
        UsageError: the branch holds files that distexpand didn't write, or not as they are now.
        HubError: its manifest can't be read.
    """
    if not found.files.keys() - _NEW:
        return ()
    held = found.files.keys() - {ATTRIBUTES_NAME}
    manifest = manifest_at(repository, found)
    own = {MANIFEST_NAME, *manifest.file_names} if manifest is not None else set()
    _refuse(repository.place, held - own - _NEW, "didn't write")
    if manifest is not None:
        sizes = {shard.name: shard.size for shard in manifest.shards}
        changed = {name for name in held & sizes.keys() if found.files[name].size != sizes[name]}
        _refuse(repository.place, changed, "didn't write as it is now")
    return tuple(sorted(held & own))


def manifest_at(repository: HubRepository, found: Snapshot) -> Manifest | None:
    """Return the manifest of a finished output; nothing where there is none.

    Raises:
        UsageError: it is damaged or of another version.
        HubError: it can't be read.
    """
    if MANIFEST_NAME not in found.files:
        return None
    raw = repository.read(MANIFEST_NAME, found.commit)
    try:
        return decode_manifest(raw, origin=f"{repository.place}/{MANIFEST_NAME}")
    except CheckpointError as error:
        raise UsageError(error.message, hint="Choose another repository, or delete its files.") from None


def _refuse(place: str, names: Collection[str], why: str) -> None:
    if names:
        raise UsageError(
            f"{place}: holds {and_more(names)}, which distexpand {why}",
            hint="Choose another repository, or delete that file from this one.",
        )
