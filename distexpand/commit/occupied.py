"""What an output directory holds when a run begins, and what of it may be replaced."""

from pathlib import Path

from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest
from distexpand.commit.work_directory import NOTICE_NAME, WorkDirectory, stored_plan
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.index import INDEX_NAME, is_plain_path
from distexpand.formats.json_text import load_json
from distexpand.plan.model import Plan
from distexpand.storage.local import WORK_DIRECTORY, storage_error


def require_vacant(output: Path) -> None:
    """Check that the output doesn't exist or is an empty directory.

    Raises:
        UsageError: it holds something; says what can be done.
        StorageError: it can't be looked at.
    """
    held = _listing(output)
    if not held:
        return
    if MANIFEST_NAME in held:
        hint = "It holds a finished expansion; choose another output, or replace it with --overwrite."
    elif WorkDirectory(output=output).exists():
        hint = "It holds an unfinished run; go on with --resume, or start anew with --overwrite."
    else:
        hint = "Choose another output; what distexpand didn't write, it doesn't touch."
    raise UsageError(f"{output}: isn't empty (holds {held[0]})", hint=hint)


def obsolete_files(output: Path) -> tuple[str, ...]:
    """Return the files of an earlier output or unfinished run, which `--overwrite` replaces.

    Raises:
        UsageError: the directory holds files that distexpand didn't write.
        StorageError: it can't be looked at.
    """
    if not _listing(output):
        return ()
    own, present = _own_files(output), _files(output)
    foreign = [name for name in present if name not in own]
    if foreign:
        raise UsageError(
            f"{output}: holds {foreign[0]}, which distexpand didn't write ({len(foreign)} such files)",
            hint="Move it away, or choose another output.",
        )
    return tuple(present)


def read_obsolete(work: WorkDirectory) -> tuple[str, ...]:
    """Return the files that an overwriting run set out to remove; none if it is past that.

    Raises:
        UsageError: the list is damaged.
    """
    if not work.obsolete.exists():
        return ()
    try:
        names = load_json(work.obsolete.read_bytes(), origin=str(work.obsolete))
    except CheckpointError as error:
        raise UsageError(error.message) from None
    if not isinstance(names, list) or not all(is_plain_path(name) for name in names):
        raise UsageError(f"{work.obsolete}: expected a list of plain file names")
    return tuple(names)


def refuse_output_in_source(output: Path, plan: Plan) -> None:
    """Check that the output lies in no source.

    Raises:
        UsageError: it does, or is one.
    """
    target = output.resolve()
    for model, location in plan.locations:
        source = Path(location).resolve()
        if target == source or source in target.parents:
            raise UsageError(
                f"{output}: lies in the source {model} ({location})",
                hint="Choose an output outside every source; sources are never written to.",
            )


def planned_files(plan: Plan) -> set[str]:
    """Return every file name that a run of the plan may leave."""
    names = {shard.name for shard in plan.shards} | {text.name for text in plan.texts}
    return names | {copied.name for copied in plan.copies} | {INDEX_NAME, MANIFEST_NAME}


def _own_files(output: Path) -> set[str]:
    own: set[str] = set()
    work = WorkDirectory(output=output)
    if work.exists():
        own |= planned_files(stored_plan(work)) | set(read_obsolete(work))
    manifest = output / MANIFEST_NAME
    if manifest.exists():
        try:
            own |= {*decode_manifest(manifest.read_bytes(), origin=str(manifest)).file_names, MANIFEST_NAME}
        except CheckpointError as error:
            raise UsageError(error.message, hint="Remove the directory by hand.") from None
    return own


def _files(output: Path) -> list[str]:
    return sorted(
        path.relative_to(output).as_posix()
        for path in output.rglob("*")
        if not path.is_dir() and path.relative_to(output).parts[0] not in {WORK_DIRECTORY, NOTICE_NAME}
    )


def _listing(output: Path) -> list[str]:
    empty_work = not WorkDirectory(output=output).exists()
    try:
        names = sorted(path.name for path in output.iterdir()) if output.exists() else []
        return [name for name in names if not (empty_work and name == WORK_DIRECTORY)]
    except NotADirectoryError:
        raise UsageError(f"{output}: is a file, not a directory") from None
    except OSError as error:
        raise storage_error("list", output, error) from None
