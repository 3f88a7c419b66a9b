"""Buffers for frames, used again: from the thread that fills one to the one that digests it, and back."""

import threading

from distexpand.engine.buffers import PAGE_BYTES, block_buffer
from distexpand.formats.packed_frames import FRAME_BYTES


class FrameBuffers:
    """As many buffers as are needed at once; each lies in memory as its range does in the file."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._lock = threading.Lock()

    def take(self, offset: int, length: int) -> memoryview:
        """Return `length` bytes of memory for a range at `offset`, congruent with it for direct I/O."""
        begin = offset % PAGE_BYTES
        if begin + length > FRAME_BYTES + PAGE_BYTES:
            return block_buffer(begin + length)[begin:]
        with self._lock:
            area = self._free.pop() if self._free else None
        if area is None:
            area = block_buffer(FRAME_BYTES + PAGE_BYTES)
        return area[begin : begin + length]

    def give_back(self, buffer: memoryview) -> None:
        """Let a buffer be used again."""
        area = memoryview(buffer.obj)
        if len(area) >= FRAME_BYTES + PAGE_BYTES:
            with self._lock:
                self._free.append(area)
