"""Digests of tensors as they are: of an output's files, and of what a plan says they should be.

Both read plainly, piece by piece, and share no code with the engine: a hole is
read like any other bytes, since believing what a file system says of holes is
one of the things to be checked. Rejected: the engine's blocks, which skip
holes and would repeat the engine's errors. Memory is one piece per thread.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distexpand.formats.header import Header
from distexpand.pauses import thread_pool
from distexpand.planning.check import shard_header
from distexpand.planning.digest_layout import PIECE_BYTES, combined_digest, piece_digest, zeros_digest
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Copy, Operation, Zero
from distexpand.storage.ranges import RangeReader
from distexpand.verifying.plain import fill_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A digest unit: `length` bytes at `offset` of the shard, of tensor `name`, and what makes them."""

    name: str
    offset: int
    length: int
    operations: tuple[Operation, ...]


def file_digests(
    header: Header, reader: RangeReader, *, threads: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Return the digest of every tensor of a file as it is on disk, in order of offset."""
    whole = [
        Copy(offset=tensor.offset, length=tensor.length, source=0, source_offset=tensor.offset)
        for tensor in map(header.tensors.__getitem__, header.in_order())
    ]
    return _digests(header, whole, [reader], threads=threads, advance=advance)


def planned_digests(
    shard: ShardPlan, readers: Sequence[RangeReader], *, threads: int, advance: Callable[[int], None]
) -> dict[str, str]:
    """Return the digest that every tensor of a planned shard should have, from the sources."""
    return _digests(shard_header(shard), shard.operations, readers, threads=threads, advance=advance)


def _digests(
    header: Header,
    operations: Sequence[Operation],
    readers: Sequence[RangeReader],
    *,
    threads: int,
    advance: Callable[[int], None],
) -> dict[str, str]:
    local = threading.local()

    def work(piece: _Piece) -> tuple[str, bytes]:
        if not hasattr(local, "buffer"):
            local.buffer = memoryview(bytearray(PIECE_BYTES))
        digest = _piece_digest(piece, readers, local.buffer[: piece.length])
        advance(piece.length)
        return piece.name, digest

    ordered = header.in_order()
    by_name: dict[str, list[bytes]] = {name: [] for name in ordered}
    with thread_pool(threads) as pool:
        for name, digest in pool.map(work, _pieces(header, ordered, operations)):
            by_name[name].append(digest)
    return {name: combined_digest(digests).hex() for name, digests in by_name.items()}


def _pieces(header: Header, ordered: Sequence[str], operations: Sequence[Operation]) -> Iterator[_Piece]:
    """Yield the pieces of all tensors in order; operations are in order of offset too."""
    position = 0
    for name in ordered:
        offset, length = header.tensors[name].offset, header.tensors[name].length
        for begin in range(offset, offset + length, PIECE_BYTES):
            end = min(begin + PIECE_BYTES, offset + length)
            while operations[position].offset + operations[position].length <= begin:
                position += 1
            last = position
            while last < len(operations) and operations[last].offset < end:
                last += 1
            making = tuple(operations[position:last])
            yield _Piece(name=name, offset=begin, length=end - begin, operations=making)


def _piece_digest(piece: _Piece, readers: Sequence[RangeReader], buffer: memoryview) -> bytes:
    if all(isinstance(operation, Zero) for operation in piece.operations):
        return zeros_digest(piece.length)
    for operation in piece.operations:
        begin = max(operation.offset, piece.offset)
        end = min(operation.offset + operation.length, piece.offset + piece.length)
        target = buffer[begin - piece.offset : end - piece.offset]
        fill_plain(operation, begin - operation.offset, target, readers)
    return piece_digest(buffer)
