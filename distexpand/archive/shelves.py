"""Shelves: where frames go once they are compressed, and where one is that came before.

The plain shelf writes files that any zstd tool restores, so that a frame that
came before has to be there again. It is copied, not compressed again, and
begins at a block of the file system: where files can share blocks, the copy
takes none. The dense shelf names the earlier frame instead.

Frames are known by xxh3-128 and length. Among a trillion frames two that
differ would have the same digest by chance with a probability of 10^-15. A
model made on purpose with such frames would be caught by the digest of its
whole file when it is unpacked, and hurts nobody but itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import xxhash

from distexpand.archive.container import Container
from distexpand.formats.dense_index import encode_dense_index
from distexpand.formats.packed_frames import CHECKSUM_BYTES, PackedFrame
from distexpand.formats.seek_table import PADDING_CHECKSUM, SKIPPABLE_HEADER, encode_seek_table, padding
from distexpand.planning.congruence import SHARED_BLOCK

LEAST_SHARED_BYTES = 16 * SHARED_BLOCK
"""Compressed frames of as many begin at a block; before smaller ones the gap costs more than it may save."""


class FrameKey(NamedTuple):
    """What a frame is known by."""

    digest: bytes
    length: int


class Shelf(Protocol):
    """Takes an archive's frames, file by file and in order."""

    repeated: int
    """Bytes of frames that were there already, as they are uncompressed."""

    def __contains__(self, key: FrameKey) -> bool: ...

    def begin(self, container: Container, number: int) -> None:
        """Begin with a file's container, `number` in the archive."""
        ...

    def place(self, key: FrameKey, parts: Sequence[bytes]) -> None:
        """Take a frame; `parts` may be empty if it is there already."""
        ...

    def end(self) -> str:
        """Write the container's index and return its digest."""
        ...


class _Place(NamedTuple):
    container: int
    path: Path
    offset: int
    parts: tuple[int, ...]
    checksum: bytes


class PlainShelf:
    """Frames one after the other, and a seek table."""

    def __init__(self) -> None:
        self.repeated = 0
        self._places: dict[FrameKey, _Place] = {}
        self._table: list[tuple[int, int, bytes]] = []
        self._container: Container
        self._number = 0

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._places

    def begin(self, container: Container, number: int) -> None:
        """Begin with a file's container."""
        self._container, self._number, self._table = container, number, []

    def place(self, key: FrameKey, parts: Sequence[bytes]) -> None:
        """Write a frame, or copy it."""
        place = self._places.get(key)
        length = sum(place.parts) if place else len(parts[0])
        self._align(length)
        if place:
            self._container.append_from(place.path, place.offset, length)
            self.repeated += key.length
        else:
            place = _place(self._container, self._number, parts)
            self._places[key] = place
            self._container.append(parts[0])
        self._table.append((length, key.length, place.checksum))

    def _align(self, length: int) -> None:
        gap = -self._container.size % SHARED_BLOCK
        if gap and length >= LEAST_SHARED_BYTES:
            gap += SHARED_BLOCK if gap < SKIPPABLE_HEADER.size else 0
            self._container.append(padding(gap))
            self._table.append((gap, 0, PADDING_CHECKSUM))

    def end(self) -> str:
        """Write the seek table."""
        return _ended(self._container, encode_seek_table(self._table))


class DenseShelf:
    """Frames one after the other, those that are new, and an index of all."""

    def __init__(self) -> None:
        self.repeated = 0
        self._places: dict[FrameKey, _Place] = {}
        self._frames: list[PackedFrame] = []
        self._container: Container
        self._number = 0

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._places

    def begin(self, container: Container, number: int) -> None:
        """Begin with a file's container."""
        self._container, self._number, self._frames = container, number, []

    def place(self, key: FrameKey, parts: Sequence[bytes]) -> None:
        """Write a frame that is new, and name it."""
        place = self._places.get(key)
        if place:
            self.repeated += key.length
        else:
            place = _place(self._container, self._number, parts)
            self._places[key] = place
            for part in parts:
                self._container.append(part)
        self._frames.append(
            PackedFrame(0, key.length, place.container, place.offset, place.parts, key.digest)
        )

    def end(self) -> str:
        """Write the index."""
        return _ended(self._container, encode_dense_index(self._frames))


def _place(container: Container, number: int, parts: Sequence[bytes]) -> _Place:
    """Return where parts will be that are appended next."""
    sizes = tuple(len(part) for part in parts)
    return _Place(number, container.path, container.size, sizes, parts[-1][-CHECKSUM_BYTES:])


def _ended(container: Container, index: bytes) -> str:
    container.append(index)
    return xxhash.xxh3_128_hexdigest(index)
