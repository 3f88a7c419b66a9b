"""Cut a shard into pieces, of which blocks are made: what a thread reads, transforms and digests in one go.

A block is a run of whole pieces, at most one piece size in all, so that no
digest is ever shared between threads (`engine.readings` makes them). Pure:
everything about offsets is settled before the first byte moves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from distexpand.formats.header import Header
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Elementwise,
    Gather,
    Operation,
    Scale,
    Term,
    Zero,
    source_length,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of a tensor's bytes: a digest unit, with the operations that fill it.

    `tensor` and `number` are the positions of the tensor in the shard and of the piece in
    the tensor.
    """

    tensor: int
    number: int
    offset: int
    length: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Pieces one behind the other, `length` bytes from `offset`.

    The first piece's place is the shard's; those behind it may go elsewhere than after it.
    """

    offset: int
    length: int
    pieces: tuple[Piece, ...]


def cut_pieces(
    header: Header, operations: Sequence[Operation], *, piece_bytes: int = PIECE_BYTES
) -> Iterator[Piece]:
    """Yield the pieces of a shard in order; they cover its data exactly once.

    Of a header that leaves some of the shard's tensors out, they cover those that it has.
    """
    position = 0
    for index, name in enumerate(header.in_order()):
        tensor = header.tensors[name]
        for number, start in enumerate(range(0, tensor.length, piece_bytes)):
            begin = tensor.offset + start
            end = min(begin + piece_bytes, tensor.offset + tensor.length)
            filling = []
            while position < len(operations) and operations[position].offset < end:
                operation = operations[position]
                operation_end = operation.offset + operation.length
                filling.append(_cut(operation, max(begin, operation.offset), min(end, operation_end)))
                if operation_end > end:
                    break
                position += 1
            yield Piece(
                tensor=index, number=number, offset=begin, length=end - begin, operations=tuple(filling)
            )


def _cut(operation: Operation, start: int, stop: int) -> Operation:
    if stop - start == operation.length:  # as most tensors are smaller than a piece
        return operation
    return slice_operation(operation, start, stop - start)


def moved_piece(piece: Piece, offset: int) -> Piece:
    """Return a piece as if it lay at another offset."""
    shift = offset - piece.offset
    operations = tuple(replace(part, offset=part.offset + shift) for part in piece.operations)
    return replace(piece, offset=offset, operations=operations)


def joined_copies(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yield operations in order, copies that continue one another in both files as one."""
    waiting: Operation | None = None
    for operation in operations:
        if isinstance(waiting, Copy) and isinstance(operation, Copy) and _continues_copy(waiting, operation):
            waiting = replace(waiting, length=waiting.length + operation.length)
            continue
        if waiting is not None:
            yield waiting
        waiting = operation
    if waiting is not None:
        yield waiting


def _continues_copy(first: Copy, then: Copy) -> bool:
    return (then.source, then.source_offset, then.offset) == (
        first.source,
        first.source_offset + first.length,
        first.offset + first.length,
    )


def slice_operation(operation: Operation, offset: int, length: int) -> Operation:
    """Return the part of an operation that makes `length` output bytes from `offset`."""
    skipped = offset - operation.offset
    match operation:
        case Copy():
            source_offset = operation.source_offset + skipped
            return replace(operation, offset=offset, length=length, source_offset=source_offset)
        case Zero() | Constant():
            return replace(operation, offset=offset, length=length)
        case Gather():
            return replace(operation, offset=offset, length=length, skipped=operation.skipped + skipped)
        case Scale():
            term = _slice_term(operation, operation.term, skipped)
            return replace(operation, offset=offset, length=length, term=term)
        case Blend():
            terms = tuple(_slice_term(operation, term, skipped) for term in operation.terms)
            return replace(operation, offset=offset, length=length, terms=terms)
        case AddLowRank():
            term = _slice_term(operation, operation.term, skipped)
            elements = operation.skipped + skipped * 8 // operation.target.bits
            return replace(operation, offset=offset, length=length, term=term, skipped=elements)


def _slice_term(operation: Elementwise, term: Term, skipped: int) -> Term:
    return replace(term, source_offset=term.source_offset + source_length(term, skipped, operation.target))
