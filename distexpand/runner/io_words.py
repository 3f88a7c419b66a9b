"""How a run's bytes would move, for people and for the disk that is needed, before anything is tried."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from distexpand.planning.congruence import SHARED_BLOCK
from distexpand.storage.local.clone import can_clone
from distexpand.storage.local.io_path import choose_reading, choose_writing
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.ranges import RangeReader


def shareable_sources(readers: Sequence[RangeReader], output: Path) -> frozenset[int]:
    """Return the numbers of the sources whose blocks an output can share."""
    folder = existing_folder(output)
    known: dict[int, bool] = {}
    shareable = set()
    # Of each device the largest file is tried: one of less than a block can't say.
    for number, reader in sorted(enumerate(readers), key=lambda item: -item[1].size):
        if isinstance(reader, LocalReader):
            if reader.device not in known:
                known[reader.device] = can_clone(reader.descriptor, folder, block=SHARED_BLOCK)
            if known[reader.device]:
                shareable.add(number)
    return frozenset(shareable)


def io_words(readers: Sequence[RangeReader], output: Path | None, shared: Collection[int]) -> str:
    """Say how large runs would be read and, where the output is known, written."""
    reading = dict.fromkeys(str(path) for path in choose_reading(readers, trial=False))
    words = [f"read {path}" for path in reading]
    if output is not None:
        words.append(f"write {choose_writing(existing_folder(output), trial=False)}")
    if shared:
        words.append("share blocks where they can be")
    return ", ".join(words)


def existing_folder(path: Path) -> Path:
    """Return the folder that a path is in or would be made in."""
    place = path.absolute()
    while not os.path.isdir(place) and place != place.parent:  # noqa: PTH112  # false for a name too long
        place = place.parent
    return place
