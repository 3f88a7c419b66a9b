"""Block buffers: page-aligned memory that is reused, on huge pages where the system has them."""

import contextlib
import mmap

PAGE_BYTES = mmap.PAGESIZE


def block_buffer(size: int) -> memoryview:
    """Return `size` bytes of zeroed, page-aligned memory."""
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            area.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(area)
