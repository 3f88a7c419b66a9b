"""Block buffers: page-aligned memory that is reused, on huge pages where the system has them.

A direct transfer hands the device every piece of memory that lies apart: of
ordinary pages 4096 for a block, of huge ones 8. Measured, that is an eighth of
a run's time. Linux places a mapping so that huge pages fit in only if it is as
long as a number of them.
"""

import contextlib
import mmap

PAGE_BYTES = mmap.PAGESIZE

_HUGE_BYTES = 2 * 1024 * 1024
"""A huge page of most processors; with others' the buffer is merely a little longer than need be."""


def block_buffer(size: int) -> memoryview:
    """Return `size` bytes of zeroed, page-aligned memory, as far as may be on huge pages."""
    area = mmap.mmap(-1, -(-size // _HUGE_BYTES) * _HUGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    huge = size // _HUGE_BYTES * _HUGE_BYTES
    if hasattr(mmap, "MADV_HUGEPAGE") and huge:
        with contextlib.suppress(OSError):  # a kernel built without them
            area.madvise(mmap.MADV_HUGEPAGE, 0, huge)
    return memoryview(area)[:size]
