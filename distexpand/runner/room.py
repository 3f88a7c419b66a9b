"""Is there room for an output: asked before anything is begun, and again once an output is held."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distexpand.commit.committer import Committer, OutputMode
from distexpand.commit.occupied import reclaimable_bytes, require_vacant
from distexpand.engine.space import disk_bytes, small_file_bytes
from distexpand.errors import StorageError
from distexpand.planning.model import Plan
from distexpand.runner.io_words import existing_folder, io_words, shareable_sources
from distexpand.runner.place import Output, staged_bytes
from distexpand.storage.address import Address
from distexpand.storage.local.scratch import is_streamed, scratch_place
from distexpand.storage.ranges import RangeReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes of disk that a run needs here, and that are free if known; `moves` says how bytes move."""

    needed: int
    free: int | None
    moves: str


def room_for(plan: Plan, readers: Sequence[RangeReader], output: Output | None, *, clone: bool) -> Room:
    """Return what disk a run of a plan needs; for an unknown output that of one in the current folder.

    Raises:
        StorageError: a source can't be read.
    """
    if isinstance(output, Address):
        how = "as shards are made" if is_streamed(output.scheme) else f"whole, from {scratch_place()}"
        return Room(
            needed=staged_bytes(plan, output),
            free=free_disk(scratch_place()),
            moves=", ".join(filter(None, [io_words(readers, None, ()), f"send to {output.scheme}:// {how}"])),
        )
    shared = shareable_sources(readers, output) if output and clone else ()
    return Room(
        needed=disk_bytes(plan.shards, readers, shared=shared) + small_file_bytes(plan),
        free=free_disk(output or Path()),
        moves=io_words(readers, output, shared),
    )


def check_staging_room(plan: Plan, output: Address, staging: Path) -> None:
    """Check the space for what lies here on its way to a place elsewhere.

    Raises:
        StorageError: there is too little.
    """
    _require_space(staging, staged_bytes(plan, output), 0, "or set TMPDIR; nothing was begun.")


def free_disk(output: Path) -> int | None:
    """Return the free bytes where an output would be written, or nothing if that isn't known."""
    try:
        return shutil.disk_usage(existing_folder(output)).free
    except OSError:
        return None


def check_room(
    plan: Plan, readers: Sequence[RangeReader], output: Path, mode: OutputMode, *, clone: bool = False
) -> None:
    """Check the space before anything is made or removed; a resumed run is looked at once it is opened.

    Raises:
        OutputError: the place isn't vacant, or holds what no run may replace.
        StorageError: there is too little space.
    """
    if mode is OutputMode.RESUME:
        return
    if mode is OutputMode.FRESH:
        require_vacant(output)
    going = reclaimable_bytes(output) if mode is OutputMode.OVERWRITE else 0
    shared = shareable_sources(readers, output) if clone else ()
    needed = disk_bytes(plan.shards, readers, shared=shared) + small_file_bytes(plan)
    _require_space(output, needed, going, "nothing was begun or removed.")


def check_room_left(
    committer: Committer, readers: Sequence[RangeReader], output: Path, *, clone: bool = False
) -> None:
    """Check the space for the shards that an output that is held still lacks.

    Raises:
        StorageError: there is too little.
    """
    waiting = [shard for shard in committer.plan.shards if shard.name not in committer.receipts]
    shared = shareable_sources(readers, output) if clone else ()
    needed = disk_bytes(waiting, readers, shared=shared) + small_file_bytes(committer.plan)
    _require_space(output, needed, 0, "then call again with --resume.")


def _require_space(output: Path, needed: int, reclaimable: int, then: str) -> None:
    free = free_disk(output)
    if free is not None and needed > free + reclaimable:
        also = f" and {reclaimable:,} would become so" if reclaimable else ""
        raise StorageError(
            f"{output}: needs {needed:,} bytes of disk, {free:,} are free{also}",
            hint=f"Free some space or choose another disk; {then}",
        )
