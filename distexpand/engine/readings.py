"""Readings: what is made of one run of source bytes, wherever it goes.

A layer that goes to several places is most of what an expansion reads more
than once. Pieces of the same bytes are made once and written to each of their
places; pieces that are made of the same source bytes in different ways (copied
here, scaled there) belong to one reading, so that one thread has the bytes at
hand for all of them. Pieces that neighbour in their source are made together,
also where their copies come between them in the shard: small tensors are read
in large runs.
Rejected: comparing whole blocks, which are alike only where the same
neighbours were cut in step; a cache beside the readers, which has to guess
what will be wanted again.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from distexpand.engine.blocks import Block, Piece, moved_piece
from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.operations import Copy, SourceRange, source_terms

_MOST_BLOCKS = 256
"""Blocks of readings that become one because something is made of both; else it reads the second again."""

_WIDEST_ELEMENT = 8
"""Bytes; a piece's elements have to be aligned in memory as they are in their shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run of a block's pieces goes: `length` bytes from `start` of the block to `offset` of a shard.

    `first` is the position in the block of the run's first piece; `pieces` are tensor and
    number of each in the shard, which is given by its position among those that are worked
    on together.
    """

    shard: int
    offset: int
    start: int
    length: int
    first: int
    pieces: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBlock:
    """A block and its places: `firsts` hold each of its pieces once, `others` are the same bytes again."""

    block: Block
    firsts: tuple[Place, ...]
    others: tuple[Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them."""
        return self.firsts + self.others


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Blocks that one thread makes one after the other; `kept` are the ranges that are read several times."""

    blocks: tuple[PlacedBlock, ...]
    kept: frozenset[SourceRange] = frozenset()


def cut_readings(pieces: Iterable[Iterable[Piece]], *, most_bytes: int = PIECE_BYTES) -> list[Reading]:
    """Return the readings of shards, in order of the first piece of each.

    Args:
        pieces: those of each shard.
        most_bytes: size of a block; no piece is larger.
    """
    cut = _Cut(most_bytes)
    for shard, own in enumerate(pieces):
        for piece in own:
            cut.add(shard, piece)
    return [_reading(blocks) for blocks in cut.readings if blocks]


@dataclass(slots=True)
class _Making:
    """A block that still grows: its pieces, and the places of each, the first one first."""

    pieces: list[Piece] = field(default_factory=list)
    places: list[list[tuple[int, Piece]]] = field(default_factory=list)
    length: int = 0

    def add(self, shard: int, piece: Piece) -> int:
        """Take a piece in and return its position."""
        end = self.pieces[0].offset + self.length if self.pieces else piece.offset
        self.pieces.append(piece if piece.offset == end else moved_piece(piece, end))
        self.places.append([(shard, piece)])
        self.length += piece.length
        return len(self.pieces) - 1

    def takes(self, shard: int, piece: Piece, most_bytes: int) -> bool:
        """Whether a piece fits in and lies behind the last one, in its shard or in its source."""
        if self.length + piece.length > most_bytes:
            return False
        last_shard, last = self.places[-1][0]
        if (last_shard, last.offset + last.length) != (shard, piece.offset) and not _continues(last, piece):
            return False
        return (self.pieces[0].offset + self.length - piece.offset) % _WIDEST_ELEMENT == 0


class _Cut:
    """Sorts pieces into blocks by their bytes, and blocks into readings by what they read."""

    def __init__(self, most_bytes: int) -> None:
        self.readings: list[list[_Making]] = []
        self._most_bytes = most_bytes
        self._known: dict[Hashable, tuple[_Making, int]] = {}
        self._read: dict[SourceRange, int] = {}
        self._joined: list[int] = []
        self._last: tuple[_Making, int] | None = None

    def add(self, shard: int, piece: Piece) -> None:
        """Give a piece its block."""
        content = _content(piece)
        known = self._known.get(content)
        if known is not None:
            block, position = known
            block.places[position].append((shard, piece))
            return
        block = self._block_for(shard, piece)
        self._known[content] = block, block.add(shard, piece)

    def _block_for(self, shard: int, piece: Piece) -> _Making:
        """Return the block that a piece of new bytes belongs to: one of its own, if its ranges are known."""
        ranges = list(ranges_of([piece]))
        known = sorted({self._reading_of(self._read[part]) for part in ranges if part in self._read})
        if known:
            block, number = _Making(), self._join(known)
            self.readings[number].append(block)
        else:
            if self._last is None or not self._last[0].takes(shard, piece, self._most_bytes):
                self._last = _Making(), len(self.readings)
                self.readings.append([self._last[0]])
                self._joined.append(len(self._joined))
            block, number = self._last
        for part in ranges:
            self._read.setdefault(part, number)
        return block

    def _reading_of(self, number: int) -> int:
        """Return the reading that one has become part of."""
        while self._joined[number] != number:
            number = self._joined[number]
        return number

    def _join(self, numbers: Sequence[int]) -> int:
        """Make one reading of several, as far as it stays small enough for one thread, and return it."""
        first, *others = numbers
        for other in others:
            if len(self.readings[first]) + len(self.readings[other]) <= _MOST_BLOCKS:
                self.readings[first] += self.readings[other]
                self.readings[other] = []
                self._joined[other] = first
        return first


def _content(piece: Piece) -> Hashable:
    """Return what tells pieces of different bytes apart."""
    if len(piece.operations) == 1:
        (operation,) = piece.operations
        if isinstance(operation, Copy):  # nearly all are
            return operation.source, operation.source_offset, operation.length
    return tuple(replace(part, offset=part.offset - piece.offset) for part in piece.operations)


def _continues(piece: Piece, then: Piece) -> bool:
    """Whether a copied piece goes on in its source where another one ended."""
    last, first = piece.operations[-1], then.operations[0]
    return (
        isinstance(last, Copy)
        and isinstance(first, Copy)
        and (first.source, first.source_offset) == (last.source, last.source_offset + last.length)
    )


def _reading(blocks: Sequence[_Making]) -> Reading:
    read = Counter(part for block in blocks for part in ranges_of(block.pieces))
    kept = frozenset(part for part, count in read.items() if count > 1)
    return Reading(blocks=tuple(map(_placed, blocks)), kept=kept)


def ranges_of(pieces: Iterable[Piece]) -> Iterator[SourceRange]:
    """Yield the source ranges that pieces are made of."""
    for piece in pieces:
        for operation in piece.operations:
            yield from source_terms(operation)


def _placed(making: _Making) -> PlacedBlock:
    block = Block(offset=making.pieces[0].offset, length=making.length, pieces=tuple(making.pieces))
    firsts = _places(block, [places[:1] for places in making.places])
    others = _places(block, [places[1:] for places in making.places])
    return PlacedBlock(block=block, firsts=firsts, others=others)


def _places(block: Block, places: Sequence[Sequence[tuple[int, Piece]]]) -> tuple[Place, ...]:
    """Return the places of a block's pieces, neighbours that are neighbours in the shard as one."""
    runs: list[list[tuple[int, int, Piece]]] = []
    ending: dict[tuple[int, int], list[tuple[int, int, Piece]]] = {}
    for position, own in enumerate(places):
        going: dict[tuple[int, int], list[tuple[int, int, Piece]]] = {}
        for shard, piece in own:
            run = ending.get((shard, piece.offset))
            if run is None:
                runs.append(run := [])
            run.append((position, shard, piece))
            going[shard, piece.offset + piece.length] = run
        ending = going
    return tuple(_place(block, run) for run in runs)


def _place(block: Block, run: Sequence[tuple[int, int, Piece]]) -> Place:
    first, shard, piece = run[0]
    return Place(
        shard=shard,
        offset=piece.offset,
        start=block.pieces[first].offset - block.offset,
        length=sum(part.length for _, _, part in run),
        first=first,
        pieces=tuple((part.tensor, part.number) for _, _, part in run),
    )
