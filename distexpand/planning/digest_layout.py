"""What a digest of an output tensor and shard is made of.

A tensor is digested in pieces of fixed size, so that pieces can be computed
in any order by any number of threads: its digest is the xxh3-128 of the
digests of its pieces. A shard's digest is the xxh3-128 of its header's digest
and its tensors' digests, in order of offset. Rejected: one running digest per
file, which would force one order on all writes.
"""

from collections.abc import Iterable
from functools import lru_cache

import xxhash

PIECE_BYTES = 16 * 1024 * 1024
ALGORITHM = "xxh3-128/16MiB"


def piece_digest(piece: bytes | memoryview) -> bytes:
    """Return the 16-byte digest of one piece of a tensor."""
    return xxhash.xxh3_128(piece).digest()


def combined_digest(parts: Iterable[bytes]) -> bytes:
    """Return the digest of a sequence of digests."""
    whole = xxhash.xxh3_128()
    for part in parts:
        whole.update(part)
    return whole.digest()


def shard_digest(header: bytes, tensors: Iterable[bytes]) -> bytes:
    """Return the digest of a shard from its encoded header and its tensors' digests in order of offset."""
    return combined_digest([piece_digest(header), *tensors])


@lru_cache(maxsize=1024)
def zeros_digest(length: int) -> bytes:
    """Return the digest of a piece of `length` zero bytes."""
    return piece_digest(bytes(length))
