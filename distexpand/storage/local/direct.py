"""Direct I/O: large runs move between disk and buffer past the page cache, the ragged ends through it.

A run can move directly where its place in memory and in the file agree modulo
the page; its bytes before the first and behind the last whole page take the
ordinary descriptor. The two never touch the same page, so neither can make the
other stale. A page is a multiple of what any device wants that has blocks no
larger than it; one that wants more refuses, and is read through the cache.
"""

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path

PAGE = mmap.PAGESIZE

LEAST_BYTES = 1 << 18
"""Runs shorter than this aren't worth the way to the disk that each direct transfer is."""

_O_DIRECT = getattr(os, "O_DIRECT", 0)


def open_direct(path: Path, flags: int) -> int | None:
    """Return a descriptor of `path` for direct I/O, nothing where the file system has none."""
    if not _O_DIRECT:
        return None
    try:
        return os.open(path, flags | _O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None


def reads_directly(descriptor: int) -> bool:
    """Try to read one page directly: some file systems open a file so, and then refuse."""
    return _moves(os.preadv, descriptor)


def writes_directly(descriptor: int) -> bool:
    """Try to write a page of zeros at the start of a file, whose header comes there later."""
    return _moves(os.pwritev, descriptor)


def _moves(move: Callable[[int, list[mmap.mmap], int], int], descriptor: int) -> bool:
    with mmap.mmap(-1, PAGE) as page:
        try:
            move(descriptor, [page], 0)
        except OSError:
            return False
    return True


def direct_part(offset: int, buffer: memoryview) -> tuple[int, int]:
    """Return start and stop in `buffer` of what can move directly from or to `offset`; 0, 0 if nothing."""
    if len(buffer) < LEAST_BYTES or buffer.readonly or (_address(buffer) - offset) % PAGE:
        return 0, 0
    start = -offset % PAGE
    return start, start + (len(buffer) - start) // PAGE * PAGE


def _address(buffer: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
