"""Is there room for what will be packed or unpacked: asked before anything is begun.

What an archive will take isn't known before it is made. So parts of the
checkpoint are packed for trial, and a manifest says how many tensors are
others' equals; what is refused would surely not have fitted.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from distexpand.archive.coding import Coder
from distexpand.archive.layout import UNKNOWN
from distexpand.commit.manifest import MANIFEST_NAME, decode_manifest
from distexpand.errors import CheckpointError, StorageError
from distexpand.formats.archive_index import Form
from distexpand.intake.pins import read_range, read_whole
from distexpand.runner.io_words import existing_folder
from distexpand.runner.room import free_disk
from distexpand.storage.local.file_systems import file_system_of
from distexpand.storage.ranges import SourceStore

_TRIALS = 16
_TRIAL_BYTES = 256 * 1024
_SURELY = 0.9
"""Of the estimate; a sample may be less compressible than the rest."""

_SHARING = frozenset({"xfs", "btrfs", "bcachefs"})


def check_room_to_pack(
    source: SourceStore, files: Mapping[str, int], archive: Path, form: Form, coder: Coder
) -> None:
    """Check that an archive may fit.

    Raises:
        StorageError: it surely won't, or a file can't be read.
    """
    total = sum(files.values())
    free = free_disk(archive)
    if free is None or total <= free:
        return
    shares = form is Form.DENSE or file_system_of(existing_folder(archive)) in _SHARING
    ratio = _trial_ratio(source, files, coder) * (_unequal_share(source, files) if shares else 1.0)
    _require(archive, int(_SURELY * ratio * total), free)


def check_room_to_unpack(files: Mapping[str, int], output: Path) -> None:
    """Check that an archive's files will fit.

    Raises:
        StorageError: they won't.
    """
    free = free_disk(output)
    if free is not None:
        _require(output, sum(files.values()), free)


def _require(place: Path, needed: int, free: int) -> None:
    if needed > free:
        raise StorageError(
            f"{place}: needs {needed:,} bytes of disk, {free:,} are free",
            hint="Free some space or choose another disk; nothing was begun.",
        )


def _trial_ratio(source: SourceStore, files: Mapping[str, int], coder: Coder) -> float:
    """Return packed bytes per byte, of parts that lie evenly among all bytes."""
    plain = packed = 0
    for name, offset in _places(files):
        reader = source.open(name)
        try:
            raw = read_range(reader, offset, min(_TRIAL_BYTES, files[name] - offset))
        finally:
            reader.close()
        plain += len(raw)
        packed += sum(map(len, coder.encode(raw, UNKNOWN._replace(known=True))))
    return packed / plain if plain else 1.0


def _places(files: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    step = max(sum(files.values()) // _TRIALS, 1)
    begin, wanted = 0, step // 2
    for name, size in files.items():
        while wanted < begin + size:
            yield name, (wanted - begin) // 8 * 8
            wanted += step
        begin += size


def _unequal_share(source: SourceStore, files: Mapping[str, int]) -> float:
    """Return the share of a checkpoint's tensors that are no other's equal, as far as a manifest says."""
    if MANIFEST_NAME not in files:
        return 1.0
    try:
        manifest = decode_manifest(read_whole(source, MANIFEST_NAME), origin=MANIFEST_NAME)
    except CheckpointError:
        return 1.0
    digests = [digest for shard in manifest.shards for digest in shard.tensors.values()]
    return len(set(digests)) / len(digests) if digests else 1.0
