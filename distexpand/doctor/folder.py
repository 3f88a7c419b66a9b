"""What a folder's file system can do, found out by trying it in files that are removed again."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from distexpand.doctor.findings import Found, Section, State
from distexpand.errors import DistexpandError
from distexpand.planning.congruence import SHARED_BLOCK
from distexpand.report.sizes import bytes_text
from distexpand.runner.io_words import existing_folder
from distexpand.storage.local.attempt import LocalAttempt
from distexpand.storage.local.clone import can_clone
from distexpand.storage.local.direct import open_direct, reads_directly
from distexpand.storage.local.file_systems import file_system_of
from distexpand.storage.local.io_path import choose_reading, choose_writing
from distexpand.storage.local.reader import LocalReader, allocated_bytes

_PROBE_BYTES = 4 * SHARED_BLOCK
_SMALL_BYTES = 10_000_000_000
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def look_at_folder(place: Path) -> Section:
    """Return what there is at a path: its file system, and what a run would make of it."""
    folder = existing_folder(place)
    title = str(folder) if folder == place.absolute() else f"{place}, not there yet, so {folder}"
    found = [_file_system(folder), _free(folder)]
    try:
        with tempfile.TemporaryDirectory(prefix=".distexpand-doctor-", dir=folder) as scratch:
            found += _tried(Path(scratch))
    except OSError as error:
        found.append(
            Found(
                name="writing",
                words=f"not possible: {error.strerror}",
                state=State.PROBLEM,
                advice="Sources can be read here; for an output choose another place, or change its rights.",
            )
        )
    return Section(title=title, found=tuple(found))


def _file_system(folder: Path) -> Found:
    kind = file_system_of(folder)
    if kind in _IN_MEMORY:
        advice = "It is memory: what is written there isn't there for anything else. Choose a disk."
        return Found(name="file system", words=kind, state=State.ADVICE, advice=advice)
    return Found(name="file system", words=kind or "unknown")


def _free(folder: Path) -> Found:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    words = f"{bytes_text(free)} of {bytes_text(status.f_blocks * status.f_frsize)}"
    if free < _SMALL_BYTES:
        advice = "Little for a large model: `distexpand plan RECIPE` says what an output needs."
        return Found(name="free space", words=words, state=State.ADVICE, advice=advice)
    return Found(name="free space", words=words)


def _tried(scratch: Path) -> list[Found]:
    """Try everything in a folder that goes with what is in it."""
    probe = scratch / "probe"
    probe.write_bytes(bytes(range(256)) * (_PROBE_BYTES // 256))
    clones = _asked(lambda: _clones(probe, scratch))
    return [
        Found(name="direct I/O", words=_yes(_asked(lambda: _is_direct(probe)))),
        Found(name="preallocation", words=_yes(_asked(lambda: _reserves(scratch / "reserved")))),
        Found(name="holes", words=_yes(_asked(lambda: _has_holes(scratch / "hole")))),
        Found(
            name="shared blocks",
            words="yes: copied layers of models here take no disk" if clones else "no: outputs are copies",
        ),
        _locks(scratch / "lock"),
        Found(name="a run reads", words=_reading(probe)),
        Found(name="a run writes", words=str(choose_writing(scratch, trial=True))),
    ]


def _asked(question: Callable[[], bool]) -> bool:
    """Return the answer; a file system that fails to give one can't do it."""
    try:
        return question()
    except (OSError, DistexpandError):
        return False


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _is_direct(probe: Path) -> bool:
    descriptor = open_direct(probe, os.O_RDONLY)
    if descriptor is None:
        return False
    try:
        return reads_directly(descriptor)
    finally:
        os.close(descriptor)


def _reserves(path: Path) -> bool:
    with LocalAttempt(path, _PROBE_BYTES) as attempt:
        attempt.reserve(0, _PROBE_BYTES)
        return allocated_bytes(path.stat()) >= _PROBE_BYTES


def _has_holes(path: Path) -> bool:
    with path.open("wb") as file:
        file.truncate(_PROBE_BYTES)
        file.seek(_PROBE_BYTES)
        file.write(b"\1")
        os.fsync(file.fileno())
        return allocated_bytes(os.fstat(file.fileno())) < _PROBE_BYTES


def _clones(probe: Path, scratch: Path) -> bool:
    with probe.open("rb+") as file:
        os.fsync(file.fileno())
        return can_clone(file.fileno(), scratch, block=SHARED_BLOCK)


def _locks(path: Path) -> Found:
    if _asked(lambda: _excludes(path)):
        return Found(name="locks", words="yes")
    return Found(
        name="locks",
        words="no",
        state=State.ADVICE,
        advice="Runs on this place watch each other's signs of life instead, which takes them some seconds.",
    )


def _excludes(path: Path) -> bool:
    """Whether a lock that is held is refused to another opening of the file."""
    with path.open("wb") as one, path.open("wb") as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _reading(probe: Path) -> str:
    reader = LocalReader(probe)
    try:
        return ", ".join(str(path) for path in choose_reading([reader], trial=False))
    finally:
        reader.close()
