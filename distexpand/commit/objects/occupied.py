"""What an output's folder in an object store holds when a run begins, and what of it may be replaced.

The rules and words are those of local outputs (`occupied`); a folder of a store is there as soon as
something is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from distexpand.commit.manifest import MANIFEST_NAME, Manifest, decode_manifest
from distexpand.commit.objects.lease_record import LEASE_PATH, read_lease
from distexpand.commit.objects.work import ObjectWork, read_obsolete, read_receipts, stored_plan
from distexpand.commit.own_files import (
    OwnFile,
    and_more,
    files_of_manifest,
    files_of_plan,
    files_of_receipts,
    is_as_written,
)
from distexpand.commit.work_directory import NOTICE_NAME
from distexpand.errors import CheckpointError, OutputError, UsageError
from distexpand.storage.local.directories import WORK_DIRECTORY
from distexpand.storage.objects.files import ObjectFiles
from distexpand.storage.objects.source import ObjectSource

_BY_HAND = "Remove it by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an output's folder holds: files with their sizes, the unfinished run, the number of its traces."""

    visible: dict[str, int]
    work: ObjectWork | None
    traces: int


def look(files: ObjectFiles) -> Contents:
    """List an output's folder.

    Raises:
        StorageError: it can't be listed.
    """
    found = files.list()
    inside = [path for path in found if path.startswith(f"{WORK_DIRECTORY}/")]
    traces = [*inside, *([NOTICE_NAME] if NOTICE_NAME in found else [])]
    return Contents(
        visible={path: size for path, size in sorted(found.items()) if path not in traces},
        work=_unfinished(files, inside),
        traces=len(traces),
    )


def _unfinished(files: ObjectFiles, inside: list[str]) -> ObjectWork | None:
    """Return the run to go on with: the one that the lease names, or the only one where that is gone."""
    folders = [parts[1] for path in inside if (parts := path.split("/"))[2:] == ["plan"]]
    lease = read_lease(files) if LEASE_PATH in inside else None
    if lease is not None:
        folders = [folder for folder in folders if folder == lease.folder]
    return ObjectWork(files=files, folder=folders[0]) if len(folders) == 1 else None


def require_vacant(files: ObjectFiles, contents: Contents) -> None:
    """Check that the folder has nothing in it.

    Raises:
        UsageError: it holds something; says what can be done.
    """
    if not contents.visible and contents.work is None:
        return
    if MANIFEST_NAME in contents.visible:
        hint = "It holds a finished expansion; choose another output, or replace it with --overwrite."
    elif contents.work is not None:
        hint = "It holds an unfinished run; go on with --resume, or start anew with --overwrite."
    else:
        hint = "Choose another output; what distexpand didn't write, it doesn't touch."
    held = next(iter(contents.visible), WORK_DIRECTORY)
    raise UsageError(f"{files.address}: isn't empty (holds {held})", hint=hint)


def obsolete_files(files: ObjectFiles, contents: Contents) -> tuple[str, ...]:
    """Return the files of an earlier output or unfinished run, which `--overwrite` replaces.

    Raises:
        UsageError: there are files that distexpand didn't write, or that were changed since.
        StorageError: they can't be looked at.
    """
    own: dict[str, list[OwnFile]] = {}
    for file in _own_files(files, contents):
        own.setdefault(file.name, []).append(file)
    foreign = [name for name in contents.visible if name not in own]
    _refuse(files, foreign, "didn't write")
    source = ObjectSource(files.address)
    changed = [
        name
        for name, size in contents.visible.items()
        if not any(is_as_written(source, file, size=size) for file in own[name])
    ]
    _refuse(files, changed, "didn't write as it is now")
    return tuple(contents.visible)


def own_manifest(files: ObjectFiles) -> Manifest:
    """Return the manifest of a finished output that is to be replaced or resumed.

    Raises:
        UsageError: it is damaged or of another version.
        OutputError: it has gone just now.
        StorageError: it can't be read.
    """
    origin = f"{files.address}/{MANIFEST_NAME}"
    found = files.read(MANIFEST_NAME)
    if found is None:
        raise OutputError(f"{origin}: was removed just now", hint="Is another run at work on this output?")
    try:
        return decode_manifest(found.raw, origin=origin)
    except CheckpointError as error:
        raise UsageError(error.message, hint=_BY_HAND) from None


def own_names(files: ObjectFiles, contents: Contents) -> list[str]:
    """Return every name that runs here have given or may still give, as far as they left notes.

    Raises:
        StorageError: the notes can't be read.
    """
    try:
        return list(dict.fromkeys(file.name for file in _own_files(files, contents)))
    except (UsageError, OutputError):
        return [MANIFEST_NAME]


def _own_files(files: ObjectFiles, contents: Contents) -> Iterator[OwnFile]:
    if contents.work is not None:
        yield from _files_of_unfinished(contents.work)
        yield from (OwnFile(name=name) for name in read_obsolete(contents.work))
    if MANIFEST_NAME in contents.visible:
        yield from files_of_manifest(own_manifest(files))
        yield OwnFile(name=MANIFEST_NAME)


def _files_of_unfinished(work: ObjectWork) -> Iterator[OwnFile]:
    try:
        plan = stored_plan(work)
    except UsageError:
        plan = None
    if plan is None:
        yield from files_of_receipts(read_receipts(work))
    else:
        yield from files_of_plan(plan)


def _refuse(files: ObjectFiles, names: list[str], why: str) -> None:
    if names:
        raise UsageError(
            f"{files.address}: holds {and_more(names)}, which distexpand {why}",
            hint="Move it away, choose another output, or remove the folder by hand.",
        )
