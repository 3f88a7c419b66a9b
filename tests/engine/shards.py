"""Random small shard plans over random source bytes, and the files behind them."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from distexpand.engine.blocks import Block, cut_pieces
from distexpand.formats.dtypes import DType
from distexpand.formats.header import Header, encode_header, parse_header
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Operation,
    Scale,
    Term,
    Zero,
    source_terms,
)
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.ranges import RangeReader

SOURCE_BYTES = 4096
SOURCES = 2
FLOATS = (DType.F16, DType.BF16, DType.F32, DType.F64)
FACTORS = (0.5, 1.0, -0.7071, 3e-5, 1e30, -1e-300)

floats = st.sampled_from(FLOATS)


def terms(draw: st.DrawFn, length: int, target: DType) -> Term:
    """Draw a term that reads enough for `length` output bytes."""
    dtype = draw(floats)
    read = length // (target.bits // 8) * (dtype.bits // 8)
    offset = draw(st.integers(0, SOURCE_BYTES - read))
    return Term(source=draw(st.integers(0, SOURCES - 1)), source_offset=offset, dtype=dtype)


@st.composite
def tensor_operations(draw: st.DrawFn, target: DType, length: int, *, torch: bool) -> Operation:
    """Draw what makes a tensor; with `torch` transforms as well."""
    kinds = ["copy", "zero", "constant", *(["scale", "blend", "add"] if torch and target in FLOATS else [])]
    match draw(st.sampled_from(kinds)):
        case "zero":
            return Zero(offset=0, length=length)
        case "constant":
            value = draw(st.sampled_from((1.0, -0.5, 1024.0) if target in FLOATS else (1.0, 0x77, 255.0)))
            return Constant(offset=0, length=length, value=value, target=target)
        case "scale":
            return Scale(
                offset=0,
                length=length,
                term=terms(draw, length, target),
                factor=draw(st.sampled_from(FACTORS)),
                compute=draw(floats),
                target=target,
            )
        case "blend":
            weights = draw(st.lists(st.sampled_from([0.3, 1.0, 2.5, -0.25]), min_size=1, max_size=3))
            return Blend(
                offset=0,
                length=length,
                terms=tuple(terms(draw, length, target) for _ in weights),
                weights=tuple(weights),
                normalize=draw(st.booleans()) and sum(weights) != 0,
                compute=draw(floats),
                target=target,
            )
        case "add":
            return draw(low_rank_additions(target, length))
    source_offset = draw(st.integers(0, SOURCE_BYTES - length))
    return Copy(
        offset=0, length=length, source=draw(st.integers(0, SOURCES - 1)), source_offset=source_offset
    )


@st.composite
def low_rank_additions(draw: st.DrawFn, target: DType, length: int) -> AddLowRank:
    """Draw what makes a part of a matrix."""
    made = length * 8 // target.bits
    columns, rank, transposed = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.booleans())
    skipped = draw(st.integers(0, 2 * columns))
    rows = -(-(skipped + made) // columns) + draw(st.integers(0, 2))
    factors = []
    for count in (rank * rows, rank * columns) if transposed else (rank * columns, rank * rows):
        dtype = draw(st.sampled_from((DType.F16, DType.BF16, DType.F32)))
        offset = draw(st.integers(0, SOURCE_BYTES - count * dtype.bits // 8))
        factors.append(Term(source=draw(st.integers(0, SOURCES - 1)), source_offset=offset, dtype=dtype))
    term, magnitude = terms(draw, length, target), None
    if not transposed and draw(st.booleans()):
        magnitude = Term(
            source=0, source_offset=draw(st.integers(0, SOURCE_BYTES - 4 * rows)), dtype=DType.F32
        )
        # a length takes whole rows of W
        offset = draw(st.integers(0, SOURCE_BYTES - rows * columns * 8))
        term = replace(term, source_offset=offset + skipped * term.dtype.bits // 8)
    return AddLowRank(
        offset=0,
        length=length,
        term=term,
        a=factors[0],
        b=factors[1],
        rows=rows,
        columns=columns,
        rank=rank,
        scaling=draw(st.sampled_from((1.0, -0.5, 2.0, 1e30))),
        target=target,
        transposed=transposed,
        skipped=skipped,
        magnitude=magnitude,
    )


@st.composite
def shard_plans(draw: st.DrawFn, *, torch: bool = True) -> ShardPlan:
    """Draw a shard of a few tensors, empty ones too."""
    dtypes = sorted(
        draw(st.lists(st.sampled_from([*FLOATS, DType.U8]), min_size=1, max_size=5)), key=lambda d: -d.bits
    )
    shapes = [(draw(st.integers(0, 70)),) for _ in dtypes]
    header = encode_header(
        ((f"t{i}", dtype, shape) for i, (dtype, shape) in enumerate(zip(dtypes, shapes, strict=True))), {}
    )
    operations = []
    position = len(header)
    for dtype, shape in zip(dtypes, shapes, strict=True):
        length = math.prod(shape) * dtype.bits // 8
        if length:
            operation = draw(tensor_operations(dtype, length, torch=torch))
            operations.append(_at(operation, position))
        position += length
    return ShardPlan(name="model.safetensors", header=header, size=position, operations=tuple(operations))


def _at(operation: Operation, offset: int) -> Operation:
    return type(operation)(
        **{
            **{name: getattr(operation, name) for name in operation.__slots__},
            "offset": offset,
        }
    )


source_contents = st.lists(
    st.integers(0, 10**9).map(lambda seed: random.Random(seed).randbytes(SOURCE_BYTES)),
    min_size=SOURCES,
    max_size=SOURCES,
)


def copying_shard(length: int) -> ShardPlan:
    """Return a shard of one tensor of bytes, copied from the start of the first source."""
    header = encode_header([("t", DType.U8, (length,))], {})
    copy = Copy(offset=len(header), length=length, source=0, source_offset=0)
    return ShardPlan(name="m", header=header, size=len(header) + length, operations=(copy,))


def header_of(shard: ShardPlan) -> Header:
    """Return the parsed header."""
    return parse_header(shard.header, file_size=shard.size, origin=shard.name)


def blocks_of(header: Header, operations: Sequence[Operation], *, piece_bytes: int) -> list[Block]:
    """Return blocks of neighbouring pieces that cover a shard, as many pieces in each as fit."""
    blocks: list[Block] = []
    for piece in cut_pieces(header, operations, piece_bytes=piece_bytes):
        last = blocks[-1] if blocks else None
        if last and last.offset + last.length == piece.offset and last.length + piece.length <= piece_bytes:
            length = last.length + piece.length
            blocks[-1] = Block(offset=last.offset, length=length, pieces=(*last.pieces, piece))
        else:
            blocks.append(Block(offset=piece.offset, length=piece.length, pieces=(piece,)))
    return blocks


class MemoryReader:
    """A source in memory; `holes` are ranges that it knows to be zero."""

    def __init__(self, data: bytes, holes: Sequence[tuple[int, int]] = ()) -> None:
        self.data = bytearray(data)
        self.size = len(data)
        self.is_sparse = bool(holes)
        self.alignment = 1
        self.version = "1"
        self._hole = bytearray(len(data))
        for start, stop in holes:
            self._hole[start:stop] = b"\1" * (stop - start)
            self.data[start:stop] = bytes(stop - start)
        self.reads = 0

    def read_into(self, offset: int, buffer: memoryview) -> None:
        assert 0 <= offset <= offset + len(buffer) <= self.size
        self.reads += len(buffer)
        buffer[:] = self.data[offset : offset + len(buffer)]

    def data_ranges(self, offset: int, length: int):
        start = None
        for position in range(offset, offset + length + 1):
            filled = position < offset + length and not self._hole[position]
            if filled and start is None:
                start = position
            elif not filled and start is not None:
                yield start, position - start
                start = None

    def check_unchanged(self) -> None:
        """It is."""

    def close(self) -> None:
        """Nothing is open."""


def local_readers(folder: Path, contents: Sequence[bytes]) -> list[RangeReader]:
    """Write sources to files and open them."""
    readers: list[RangeReader] = []
    for index, raw in enumerate(contents):
        path = folder / f"source-{index}"
        path.write_bytes(raw)
        readers.append(LocalReader(path))
    return readers


def read_bytes(operation: Operation) -> int:
    """Return how many source bytes an operation names."""
    return sum(length for _, _, length in source_terms(operation))
