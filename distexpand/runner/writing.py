"""How a run's attempts are written on a local or mounted file system: chosen by trial, and told."""

from collections.abc import Callable, Sequence
from pathlib import Path

from distexpand.planning.model import ShardPlan
from distexpand.runner.io_words import shareable_sources
from distexpand.storage.local.directories import LocalOutput
from distexpand.storage.local.io_path import WORTH_A_TRIAL, choose_reading, choose_writing
from distexpand.storage.local.open_files import allow_open_files
from distexpand.storage.ranges import RangeReader


def prepare_reading(readers: Sequence[RangeReader], *, trial: bool, tell: Callable[[str], None]) -> None:
    """Choose how large runs of the sources are read, and tell it."""
    # A direct reader has a second descriptor; where not all may be open, the plain ones have to do.
    direct = allow_open_files(2 * len(readers))
    for path in choose_reading(readers, trial=trial, direct=direct):
        tell(f"reading {path}")


def local_output(
    attempts: Path,
    readers: Sequence[RangeReader],
    shards: Sequence[ShardPlan],
    *,
    clone: bool,
    tell: Callable[[str], None],
) -> LocalOutput:
    """Choose how bytes move, tell it, and return where attempts are written.

    Args:
        attempts: the folder of attempts.
        readers: the plan's sources, in its order.
        shards: those that are to be written.
        clone: whether the output may share blocks with its sources.
        tell: takes in words how the bytes move.
    """
    shares = clone and bool(shareable_sources(readers, attempts))
    trial = not shares and sum(shard.size for shard in shards) >= WORTH_A_TRIAL
    prepare_reading(readers, trial=trial, tell=tell)
    writing = choose_writing(attempts, trial=trial)
    tell(f"writing {writing}")
    if shares:
        tell("sharing blocks with sources where possible: those are neither read nor written")
    # Btrfs keeps all of a reserved extent for as long as a part of it is used: sharing would free nothing.
    # In memory reserving is the work itself: every page would be cleared first.
    reserves = writing.file_system not in ({"btrfs", "tmpfs"} if clone else {"tmpfs"})
    return LocalOutput(attempts, way=writing.way, shares=clone, reserves=reserves)
