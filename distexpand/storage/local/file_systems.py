"""Which file system a path lies on, by the mount table, and what is known of it before it is tried."""

import os
import re
from pathlib import Path

from distexpand.storage.local.way import Way

_MOUNTS = Path("/proc/self/mountinfo")

_ESCAPED = re.compile(r"\\([0-7]{3})")
"""A character of a mount point that the table can't hold as it is: white space, a backslash."""

_DISKS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs", "zfs"})
"""File systems on a local disk, where the page cache is the slower way for data that is used once."""


def file_system_of(path: Path) -> str:
    """Return the type of the file system that a path is on, or would be; empty where that isn't known."""
    try:
        mounts = [line.split(" ") for line in os.fsdecode(_MOUNTS.read_bytes()).split("\n") if line]
        place = path.resolve()
    except OSError:
        return ""
    best, found = -1, ""
    for fields in mounts:
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        if depth >= best and place.is_relative_to(point):  # of two mounts on one point the later is seen
            best, found = depth, fields[fields.index("-") + 1]
    return found


def usual_way(file_system: str) -> Way:
    """Return the way to expect: direct on local disks, buffered on networks, in memory and in layers."""
    return Way.DIRECT if file_system in _DISKS else Way.BUFFERED
