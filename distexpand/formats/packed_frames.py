"""Packed frames: which range of a file was compressed into which bytes of which container.

Both forms of an archive come down to this list, so that one reader serves
both. A frame is decompressed whole and alone; its range is found by bisection.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

FRAME_BYTES = 8 * 1024 * 1024
"""The most that goes into one frame: what a reader has to decompress for a single byte."""

MOST_FRAME_BYTES = 8 * FRAME_BYTES
"""The most that is believed of an archive made by others."""

CHECKSUM_BYTES = 4
"""Of a zstd frame: the lowest bytes of the XXH64 of what it holds, little-endian."""


class PackedFrame(NamedTuple):
    """One frame.

    `length` bytes at `offset` of the file that was packed, from `packed_offset` of container
    number `container` on, as zstd frames of `parts` bytes one after the other: one frame of the
    bytes themselves, or one for each byte plane. `digest` is the xxh3-128 of the file's bytes, or
    the checksum of `CHECKSUM_BYTES` that ends the one zstd frame, or empty where nothing is known.

    A tuple for the same reason as `TensorHeader`.
    """

    offset: int
    length: int
    container: int
    packed_offset: int
    parts: tuple[int, ...]
    digest: bytes

    @property
    def packed_length(self) -> int:
        """Bytes in the container."""
        return sum(self.parts)


class FrameTable:
    """The frames of a file in order, without gaps; `size` is the file's bytes."""

    def __init__(self, frames: Sequence[PackedFrame]) -> None:
        self.frames = frames
        self._starts = [frame.offset for frame in frames]
        self.size = frames[-1].offset + frames[-1].length if frames else 0

    def touched(self, offset: int, length: int) -> Iterator[PackedFrame]:
        """Yield the frames that hold a part of a range, in order."""
        if length <= 0:
            return
        for number in range(bisect_right(self._starts, offset) - 1, len(self.frames)):
            if self._starts[number] >= offset + length:
                return
            yield self.frames[number]
