"""One packed frame to the bytes that it was made of, or an error: never to other bytes.

Everything that a frame says of itself has to agree with what the index says
of it, as a single changed bit may also switch a check off: that it has a
checksum, its length, and where it ends. zstd's checksum has 32 bits; a digest
of 128 bits is checked beside it where the index has one.
"""

import threading

import xxhash
import zstandard

from distexpand.formats.packed_frames import CHECKSUM_BYTES, PackedFrame
from distexpand.storage.archives.byte_planes import Bytes, join_planes

_local = threading.local()


def decode_frame(frame: PackedFrame, packed: memoryview) -> Bytes:
    """Return the bytes of a frame.

    Args:
        frame: what the index says of it.
        packed: its parts, one after the other.

    Raises:
        ValueError: it is damaged; says how.
    """
    planes, position = [], 0
    for length in frame.parts:
        part = packed[position : position + length]
        planes.append(_decompressed(part, frame.length // len(frame.parts)))
        position += length
    raw = planes[0] if len(planes) == 1 else join_planes(planes)
    if len(raw) != frame.length:
        raise ValueError(f"holds {len(raw)} bytes instead of {frame.length}")
    # zstd has compared its checksum with the bytes; what is left is whether it is the right frame's.
    found = packed[-CHECKSUM_BYTES:] if len(frame.digest) == CHECKSUM_BYTES else xxhash.xxh3_128_digest(raw)
    if frame.digest and found != frame.digest:
        raise ValueError("its digest differs")
    return raw


def _decompressed(part: memoryview, length: int) -> bytes:
    try:
        parameters = zstandard.get_frame_parameters(part)
        if not parameters.has_checksum or parameters.content_size != length:
            raise ValueError("isn't the frame that the index names")
        return _decompressor().decompress(part, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's own: one can't be used by several at once."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _local.decompressor
    return found
