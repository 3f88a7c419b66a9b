"""A part's bytes as boto3 takes them, without a copy.

boto3 accepts `bytes`, `bytearray` or a file, and sends a file in pieces of 16 KiB, which takes as
long as all the rest. What it reads it sends as it is, so this file gives all that is left at once,
whatever number of bytes is asked for, as a view of the caller's memory.
"""

import os


class PartBody:
    """A read-only file over some memory, which must stay as it is until it has been sent."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._position = 0

    def read(self, size: int = -1) -> memoryview:
        """Return all that is left, also if less is asked for."""
        del size
        left = self._memory[self._position :]
        self._position = len(self._memory)
        return left

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position, as is done to find the length, and to send the part again."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._memory)}[whence]
        self._position = base + offset
        return self._position

    def __len__(self) -> int:
        return len(self._memory)
