"""What an output directory holds when a run begins, and what of it may be replaced."""

import os
from collections.abc import Iterator
from pathlib import Path

from distexpand.commit.manifest import MANIFEST_NAME, Manifest, decode_manifest
from distexpand.commit.own_files import (
    OwnFile,
    and_more,
    files_of_manifest,
    files_of_unfinished,
    is_as_written,
)
from distexpand.commit.work_directory import DONE_PREFIX, NOTICE_NAME, WorkDirectory, current
from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.index import is_plain_path
from distexpand.formats.json_text import load_json
from distexpand.planning.model import Plan
from distexpand.storage.address import Address, parse_address
from distexpand.storage.local.directories import WORK_DIRECTORY, LocalSource
from distexpand.storage.local.os_errors import storage_error
from distexpand.storage.local.reader import allocated_bytes

_BY_HAND = "Remove the directory by hand."


def require_place(output: Path | Address, plan: Plan, *, overwrite: bool) -> None:
    """Check what can be known of an output without touching it, before anything that takes its time.

    Raises:
        UsageError: it lies in a source, or holds what isn't to be replaced.
        StorageError: it can't be looked at.
    """
    refuse_output_in_source(output, plan)
    if not isinstance(output, Path):
        return
    if overwrite:
        obsolete_files(output)
    else:
        require_vacant(output)


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
    elif current(output).exists():
        hint = "It holds an unfinished run; go on with --resume, or start anew with --overwrite."
    else:
        hint = "Choose another output; what distexpand didn't write, it doesn't touch."
    raise UsageError(f"{output}: isn't empty (holds {held[0]})", hint=hint)


def obsolete_files(output: Path) -> tuple[str, ...]:
    """Return the files of an earlier output or unfinished run, which `--overwrite` replaces.

    Raises:
        UsageError: the directory holds files that distexpand didn't write, or that were changed since.
        StorageError: it can't be looked at.
    """
    if not _listing(output):
        return ()
    own: dict[str, list[OwnFile]] = {}
    for file in _own_files(output):
        own.setdefault(file.name, []).append(file)
    present = _files(output)
    _refuse(output, [name for name in present if name not in own], "didn't write")
    changed = [name for name in present if not any(_is_as_written(output, file) for file in own[name])]
    _refuse(output, changed, "didn't write as it is now")
    return tuple(present)


def reclaimable_bytes(output: Path) -> int:
    """Return the disk bytes that `--overwrite` will free; a file with another name elsewhere frees none.

    Raises:
        UsageError: the directory holds files that distexpand didn't write.
        StorageError: it can't be looked at.
    """
    work = WorkDirectory(output=output).path
    going = [*(output / name for name in obsolete_files(output)), *work.rglob("*")]
    return sum(_freed_bytes(path) for path in going)


def own_manifest(output: Path) -> Manifest:
    """Return the manifest of a finished output that is to be replaced or resumed.

    Raises:
        UsageError: it is damaged or of another version.
        StorageError: it can't be read.
    """
    path = output / MANIFEST_NAME
    try:
        return decode_manifest(path.read_bytes(), origin=str(path))
    except CheckpointError as error:
        raise UsageError(error.message, hint=_BY_HAND) from None
    except OSError as error:
        raise storage_error("read", path, error) from None


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
        raise UsageError(error.message, hint=_BY_HAND) from None
    if not isinstance(names, list) or not all(is_plain_path(name) for name in names):
        raise UsageError(f"{work.obsolete}: expected a list of plain file names", hint=_BY_HAND)
    return tuple(names)


def refuse_output_in_source(output: Path | Address, plan: Plan) -> None:
    """Check that the output lies in no source.

    Raises:
        UsageError: it does, or is one.
    """
    for model, location in plan.locations:
        if _lies_in(output, location):
            raise UsageError(
                f"{output}: lies in the source {model} ({location})",
                hint="Choose an output outside every source; sources are never written to.",
            )


def _lies_in(output: Path | Address, location: str) -> bool:
    source = parse_address(location)
    if isinstance(output, Path):
        target, folder = output.resolve(), Path(location).resolve()
        return source is None and (target == folder or folder in target.parents)
    if source is None or (source.scheme, source.root) != (output.scheme, output.root):
        return False
    return not source.path or f"{output.path}/".startswith(f"{source.path}/")


def _own_files(output: Path) -> Iterator[OwnFile]:
    work, manifest = current(output), output / MANIFEST_NAME
    if work.exists():
        yield from files_of_unfinished(work)
        yield from (OwnFile(name=name) for name in read_obsolete(work))
    if manifest.exists():
        yield from files_of_manifest(own_manifest(output))
        yield OwnFile(name=MANIFEST_NAME)


def _is_as_written(output: Path, own: OwnFile) -> bool:
    try:
        size = (output / own.name).stat().st_size
    except OSError:
        return False
    return is_as_written(LocalSource(output), own, size=size)


def _freed_bytes(path: Path) -> int:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise storage_error("read", path, error) from None
    return allocated_bytes(status) if status.st_nlink == 1 else 0


def _refuse(output: Path, names: list[str], why: str) -> None:
    if names:
        raise UsageError(
            f"{output}: holds {and_more(names)}, which distexpand {why}",
            hint="Move it away, choose another output, or remove the directory by hand.",
        )


def _files(output: Path) -> list[str]:
    found = (path.relative_to(output) for path in output.rglob("*") if not path.is_dir())
    return sorted(path.as_posix() for path in found if not _is_work(path.parts[0]))


def _is_work(name: str) -> bool:
    return name in {WORK_DIRECTORY, NOTICE_NAME} or name.startswith(DONE_PREFIX)


def _listing(output: Path) -> list[str]:
    begun = current(output).exists()
    if os.path.islink(output) and not os.path.exists(output):  # noqa: PTH110,PTH114  # false for a name too long
        raise UsageError(
            f"{output}: is a link to {output.readlink()}, which isn't there",
            hint="Make that directory, or remove the link.",
        )
    try:
        names = sorted(path.name for path in output.iterdir()) if output.exists() else []
    except NotADirectoryError:
        raise UsageError(
            f"{output}: is a file, not a directory", hint="Name a directory; it is made where there is none."
        ) from None
    except OSError as error:
        raise storage_error("list", output, error) from None
    ignored = (DONE_PREFIX,) if begun else (DONE_PREFIX, WORK_DIRECTORY)
    return [name for name in names if not name.startswith(ignored)]
