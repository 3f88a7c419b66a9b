"""Operations: how a run of output bytes comes to be.

Offsets and lengths are bytes; an offset counts from the file's start, in the
output shard as in a source. `source` is a position in the plan's list of
source files. Each elementwise operation names the dtype that it computes in,
so that its result depends neither on the machine nor on how the engine cuts
it into blocks: values are cast to `compute` (round to nearest even),
combined, and cast to `target`. That is mergekit's order of `dtype` and
`out_dtype`. A NaN is written as the one quiet NaN of `target`.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from distexpand.formats.dtypes import DType


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """`length` bytes copied from a source file as they are."""

    offset: int
    length: int
    source: int
    source_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Zero:
    """`length` zero bytes; needs no write where the file already reads as zero."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """`length` bytes of elements of dtype `target`, each of them `value`, which it can hold exactly."""

    offset: int
    length: int
    value: float
    target: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Parts of every row of a source, in a new order: `length` bytes from byte `skipped` of the result.

    A row of the source is `row` bytes at `source_offset` and after; a row of the result is
    its parts of `part` bytes each, those numbered in `parts`.
    """

    offset: int
    length: int
    source: int
    source_offset: int
    row: int
    part: int
    parts: tuple[int, ...]
    skipped: int = 0

    @property
    def result_row(self) -> int:
        """Bytes of a row of the result."""
        return self.part * len(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A run of source elements that an elementwise operation reads."""

    source: int
    source_offset: int
    dtype: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Elements times `factor`, in `compute`; a factor of 1 is a cast."""

    offset: int
    length: int
    term: Term
    factor: float
    compute: DType
    target: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """The sum of terms times weights, kept in float32, in float64 where `compute` is that.

    Each term is multiplied and added in float64 before the sum is rounded again. With
    `normalize` the sum is divided by the sum of the weights. It is rounded to `compute`
    before it is cast to `target` (mergekit's `linear`).
    """

    offset: int
    length: int
    terms: tuple[Term, ...]
    weights: tuple[float, ...]
    normalize: bool
    compute: DType
    target: DType


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLowRank:
    """A matrix W plus `scaling` times the product B @ A of two thin ones: a LoRA adapter merged into W.

    W and the result have the shape (rows, columns), B (rows, rank) and A (rank, columns), all
    row by row. With `transposed` W is stored as the transpose of what the adapter was made for
    and gets (B @ A).T: A is (rank, rows) and B (columns, rank).

    The operation makes `length` bytes from element `skipped` of the result. `term` is W from
    that element on; `a` and `b` begin with their matrix. Every element is, in float64,

        W[i, j] + (scaling * (B[i, 0] * A[0, j] + B[i, 1] * A[1, j] + ...) + 0)

    where products are exact, as A and B are at most float32, and everything else is rounded as
    it stands there: the sum from left to right, in order of rank. Adding 0 makes a delta of -0 a
    positive one. With a `magnitude` of (rows) elements every row is brought to that length (DoRA):
    V[i, j] being what stands above, the element is

        V[i, j] * (magnitude[i] / sqrt(V[i, 0] * V[i, 0] + V[i, 1] * V[i, 1] + ...))

    with the sum from left to right again, for which a part of a row needs all of it; that isn't
    for a transposed W. The result is rounded to `target` once, from float64 to the nearest, ties
    to even, never by way of float32.
    """

    offset: int
    length: int
    term: Term
    a: Term
    b: Term
    rows: int
    columns: int
    rank: int
    scaling: float
    target: DType
    transposed: bool = False
    skipped: int = 0
    magnitude: Term | None = None

    @property
    def left(self) -> Term:
        """The factor of which a row of the result needs one row, or column if it is stored transposed."""
        return self.a if self.transposed else self.b

    @property
    def right(self) -> Term:
        """The factor of which every row of the result needs everything."""
        return self.b if self.transposed else self.a

    @property
    def made_rows(self) -> range:
        """The rows of the result that this makes at least a part of."""
        end = self.skipped + self.length * 8 // self.target.bits
        return range(self.skipped // self.columns, -(-end // self.columns))


_STRUCT_CODES = {DType.U8: "<B", DType.F16: "<e", DType.F32: "<f", DType.F64: "<d"}

SourceRange: TypeAlias = tuple[int, int, int]
"""A source file's number, offset and length."""

Elementwise: TypeAlias = Scale | Blend | AddLowRank
Operation: TypeAlias = Copy | Zero | Constant | Gather | Elementwise


def source_length(term: Term, length: int, target: DType) -> int:
    """Return the bytes that a term reads for `length` output bytes of dtype `target`."""
    return length // (target.bits // 8) * (term.dtype.bits // 8)


def source_terms(operation: Operation) -> tuple[SourceRange, ...]:
    """Return the source ranges that an operation reads."""
    match operation:
        case Copy():
            return ((operation.source, operation.source_offset, operation.length),)
        case Zero() | Constant():
            return ()
        case Gather():
            return (_gathered_rows(operation),)
        case Scale() | Blend():
            return term_ranges(operation)
        case AddLowRank():
            return (*term_ranges(operation), *_factor_ranges(operation))


def distinct_bytes(operations: Iterable[Operation]) -> int:
    """Return the bytes that operations read where each source range is read once for all of them."""
    return sum(length for _, _, length in {part for each in operations for part in source_terms(each)})


def term_ranges(operation: Elementwise) -> tuple[SourceRange, ...]:
    """Return the source ranges of an operation's terms."""
    return tuple(
        (term.source, term.source_offset, source_length(term, operation.length, operation.target))
        for term in terms_of(operation)
    )


def _factor_ranges(operation: AddLowRank) -> tuple[SourceRange, ...]:
    """Return the ranges of the thin matrices: of B its rows that are needed, if it lies row by row."""
    left, right = operation.left, operation.right
    made = range(operation.rows) if operation.transposed else operation.made_rows
    row, size = operation.rank * left.dtype.bits // 8, right.dtype.bits // 8
    return (
        (left.source, left.source_offset + made.start * row, len(made) * row),
        (right.source, right.source_offset, operation.rank * operation.columns * size),
        *_length_ranges(operation),
    )


def _length_ranges(operation: AddLowRank) -> tuple[tuple[int, int, int], ...]:
    """Return what rows are brought to their lengths by: these, and what else W has of the first and last."""
    magnitude, made, term = operation.magnitude, operation.made_rows, operation.term
    if magnitude is None:
        return ()
    size = magnitude.dtype.bits // 8
    own = term.source_offset, source_length(term, operation.length, operation.target)
    begin = row_offset(operation, made.start)
    end = row_offset(operation, made.stop)
    beside = ((begin, own[0] - begin), (own[0] + own[1], end - own[0] - own[1]))
    return (
        (magnitude.source, magnitude.source_offset + made.start * size, len(made) * size),
        *((term.source, offset, length) for offset, length in beside if length),
    )


def row_offset(operation: AddLowRank, row: int) -> int:
    """Return where a row of W begins in its file."""
    return operation.term.source_offset + (
        (row * operation.columns - operation.skipped) * operation.term.dtype.bits // 8
    )


def _gathered_rows(operation: Gather) -> SourceRange:
    """Return the range of the whole rows that an operation reads parts of."""
    first = operation.skipped // operation.result_row
    end = -(-(operation.skipped + operation.length) // operation.result_row)
    return (
        operation.source,
        operation.source_offset + first * operation.row,
        (end - first) * operation.row,
    )


def constant_element(value: float, dtype: DType) -> bytes:
    """Return the bytes of one element, little-endian.

    Raises:
        ValueError: the dtype can't hold the value exactly, or isn't a plain float or U8.
    """
    try:
        if dtype is DType.BF16:
            raw = struct.pack("<f", value)
            element, held = raw[2:], raw[:2] == bytes(2) and struct.unpack("<f", raw)[0] == value
        else:
            code = _STRUCT_CODES[dtype]
            element = struct.pack(code, int(value) if dtype is DType.U8 else value)
            held = struct.unpack(code, element)[0] == value
    except (KeyError, OverflowError, struct.error):
        held = False
    if not held:
        raise ValueError(f"{dtype.value} can't hold {value!r} exactly")
    return element


def terms_of(operation: Elementwise) -> tuple[Term, ...]:
    """Return what an operation reads element by element, one run or several."""
    return operation.terms if isinstance(operation, Blend) else (operation.term,)


def sources_of(operations: Iterable[Operation]) -> list[int]:
    """Return the numbers of the source files that operations read, each once, in order."""
    found: set[int] = set()
    for operation in operations:
        if isinstance(operation, Copy):  # nearly all are
            found.add(operation.source)
        else:
            found.update(source for source, _, _ in source_terms(operation))
    return sorted(found)
