"""The index of a dense container: where the frames of one file lie, in this container or in another.

It ends the container, in a skippable frame, so that what comes before stays a
row of zstd frames that any tool can test. A frame that an earlier container of
the archive holds already is named, not stored again. See docs/archive-format.md.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

import zstandard

from distexpand.errors import CheckpointError
from distexpand.formats.packed_frames import MOST_FRAME_BYTES, PackedFrame
from distexpand.formats.seek_table import SKIPPABLE_HEADER

TRAILER = struct.Struct("<IIHH8s")
"""Bytes of the compressed index, number of frames, version, nothing, magic."""

VERSION = 1
MOST_PARTS = 4
"""Byte planes of the widest elements that are taken apart."""

MOST_FRAMES = 10_000_000
"""Believed of one file; against an index that would fill the memory."""

_INDEX_MAGIC = 0x184D2A5D
_TRAILER_MAGIC = b"dxdense\n"
_ENTRY = struct.Struct("<16sQII4I")
"""Digest, offset in the container, length, container, bytes of each part (0 for none)."""


def encode_dense_index(frames: Sequence[PackedFrame]) -> bytes:
    """Return the end of a container: the skippable frame with index and trailer."""
    raw = b"".join(
        _ENTRY.pack(
            frame.digest,
            frame.packed_offset,
            frame.length,
            frame.container,
            *frame.parts,
            *(0,) * (MOST_PARTS - len(frame.parts)),
        )
        for frame in frames
    )
    index = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(raw)
    trailer = TRAILER.pack(len(index), len(frames), VERSION, 0, _TRAILER_MAGIC)
    return SKIPPABLE_HEADER.pack(_INDEX_MAGIC, len(index) + len(trailer)) + index + trailer


def dense_index_bytes(trailer: bytes, *, file_size: int, origin: str) -> int:
    """Return the bytes of the skippable frame from the last bytes of its file.

    Raises:
        CheckpointError: there is no such index, or it is of another version.
    """
    if len(trailer) == TRAILER.size:
        length, _, version, _, magic = TRAILER.unpack(trailer)
        whole: int = SKIPPABLE_HEADER.size + length + TRAILER.size
        if magic == _TRAILER_MAGIC and version != VERSION:
            raise CheckpointError(
                f"{origin}: a dense container of version {version}, expected {VERSION}",
                hint="Unpack it with the program that made it.",
            )
        if magic == _TRAILER_MAGIC and whole <= file_size:
            return whole
    raise _damaged(origin, "doesn't end with a dense container's index")


def parse_dense_index(raw: bytes, *, origin: str) -> list[PackedFrame]:
    """Return the frames that a container's end names.

    Raises:
        CheckpointError: it is damaged.
    """
    _, count, *_ = TRAILER.unpack(raw[-TRAILER.size :])
    if SKIPPABLE_HEADER.unpack(raw[: SKIPPABLE_HEADER.size]) != (
        _INDEX_MAGIC,
        len(raw) - SKIPPABLE_HEADER.size,
    ):
        raise _damaged(origin, "the index's frame doesn't fit the index")
    packed = raw[SKIPPABLE_HEADER.size : -TRAILER.size]
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if count > MOST_FRAMES or size != count * _ENTRY.size:
            raise _damaged(origin, "the index isn't of as many frames as it says")
        index = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise _damaged(origin, f"the index can't be decompressed ({error})") from None
    return list(_frames(_ENTRY.iter_unpack(index), origin))


def _frames(
    entries: Iterable[tuple[bytes, int, int, int, int, int, int, int]], origin: str
) -> Iterator[PackedFrame]:
    offset = 0
    for digest, packed_offset, length, container, *parts in entries:
        used = tuple(part for part in parts if part)
        if not 0 < length <= MOST_FRAME_BYTES or not used or tuple(parts[: len(used)]) != used:
            raise _damaged(origin, f"the index has a frame of {length} bytes in parts {parts}")
        yield PackedFrame(offset, length, container, packed_offset, used, digest)
        offset += length


def _damaged(origin: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{origin}: {what}", hint="The file is damaged or cut off; fetch or make the archive again."
    )
