"""The seek table of zstd's seekable format: frame sizes in a skippable frame at a file's end.

A plain decoder skips the table and sees frames one after the other, so that
`zstd -d` restores the file; a reader that knows it finds the frames of a range
without the others. Padding between frames is listed as frames that hold
nothing. Each frame's checksum stands in the table too, so that a digest of the
table alone tells two files from one another. Source: "Zstandard Seekable
Format" in zstd's contrib/seekable_format. Rejected: an index in a file of its
own, which gets lost.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from distexpand.errors import CheckpointError
from distexpand.formats.packed_frames import CHECKSUM_BYTES, MOST_FRAME_BYTES, PackedFrame

SKIPPABLE_HEADER = struct.Struct("<II")
"""Magic number and the bytes that follow, of every skippable frame."""

FOOTER = struct.Struct("<IBI")
"""Number of frames, descriptor, magic number."""

_PADDING_MAGIC = 0x184D2A50
_TABLE_MAGIC = 0x184D2A5E
_FOOTER_MAGIC = 0x8F92EAB1
_ENTRY = struct.Struct("<II")
_CHECKED_ENTRY = struct.Struct("<II4s")
_CHECKSUMS = 0x80
_RESERVED = 0x7C


PADDING_CHECKSUM = (0x51D8E999).to_bytes(CHECKSUM_BYTES, "little")
"""Of nothing."""


def padding(length: int) -> bytes:
    """Return a skippable frame of `length` bytes that holds nothing; at least its header's."""
    return SKIPPABLE_HEADER.pack(_PADDING_MAGIC, length - SKIPPABLE_HEADER.size).ljust(length, b"\0")


def encode_seek_table(frames: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return the table of frames of so many compressed and decompressed bytes, with their checksums."""
    entries = [_CHECKED_ENTRY.pack(*frame) for frame in frames]
    footer = FOOTER.pack(len(entries), _CHECKSUMS, _FOOTER_MAGIC)
    length = len(entries) * _CHECKED_ENTRY.size + len(footer)
    return b"".join([SKIPPABLE_HEADER.pack(_TABLE_MAGIC, length), *entries, footer])


def seek_table_bytes(footer: bytes, *, file_size: int, origin: str) -> int:
    """Return the bytes of the whole table from the last bytes of its file.

    Raises:
        CheckpointError: there is no such table.
    """
    if len(footer) == FOOTER.size:
        count, descriptor, magic = FOOTER.unpack(footer)
        length: int = SKIPPABLE_HEADER.size + count * _entry(descriptor).size + FOOTER.size
        if magic == _FOOTER_MAGIC and not descriptor & _RESERVED and length <= file_size:
            return length
    raise _damaged(origin, "doesn't end with a seek table")


def parse_seek_table(raw: bytes, *, file_size: int, container: int, origin: str) -> list[PackedFrame]:
    """Return the frames that hold something, of a file whose last bytes are `raw`.

    Raises:
        CheckpointError: the table isn't one, or isn't that of a file of this size.
    """
    count, descriptor, _ = FOOTER.unpack(raw[-FOOTER.size :])
    entry = _entry(descriptor)
    magic, length = SKIPPABLE_HEADER.unpack(raw[: SKIPPABLE_HEADER.size])
    entries = raw[SKIPPABLE_HEADER.size : -FOOTER.size]
    if magic != _TABLE_MAGIC or length != len(raw) - SKIPPABLE_HEADER.size:
        raise _damaged(origin, "the seek table's frame doesn't fit the table")
    if len(entries) != count * entry.size:
        raise _damaged(origin, "the seek table is cut off")
    return list(_frames(entry.iter_unpack(entries), container, file_size - len(raw), origin))


def _frames(
    entries: Iterable[tuple[Any, ...]], container: int, end: int, origin: str
) -> Iterator[PackedFrame]:
    offset = position = 0
    for packed, length, *checksum in entries:
        if length > MOST_FRAME_BYTES:
            raise _damaged(origin, f"the seek table has a frame of {length} bytes")
        if length:
            yield PackedFrame(offset, length, container, position, (packed,), b"".join(checksum))
        offset, position = offset + length, position + packed
    if position != end:
        raise _damaged(origin, f"the seek table ends its frames at byte {position}, the file at {end}")


def _entry(descriptor: int) -> struct.Struct:
    return _CHECKED_ENTRY if descriptor & _CHECKSUMS else _ENTRY


def _damaged(origin: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{origin}: {what}", hint="The file is damaged or cut off; fetch or make the archive again."
    )
