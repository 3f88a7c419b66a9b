"""Shards of many pages over sources of many pages: large enough to move directly, be cloned and be shared."""

import random
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header
from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import Blend, Constant, Copy, Operation, Scale, Term, Zero
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.ranges import RangeReader
from distexpand.verifying.plain import plain_bytes

PAGE = 4096
SOURCE_BYTES = 40 * PAGE + 777
SOURCES = 2
MOST_BYTES = 14 * PAGE

Body = tuple[tuple[str, int, int, int], ...]
"""Tensors one after the other: kind, source, offset in the source, length."""

lengths = st.one_of(
    st.integers(1, MOST_BYTES), st.integers(1, 14).map(lambda n: n * PAGE), st.integers(1, 40)
)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Draw a few tensors, some of which go on where the one before ended in the source."""
    made: list[tuple[str, int, int, int]] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["copy", "copy", "next", "next", "zero", "constant"]))
        length = draw(lengths)
        source = draw(st.integers(0, SOURCES - 1))
        offset = draw(st.integers(0, SOURCE_BYTES - length))
        if kind == "next":
            before = made[-1] if made and made[-1][0] == "copy" else None
            if before and before[2] + before[3] + length <= SOURCE_BYTES:
                source, offset = before[1], before[2] + before[3]
            kind = "copy"
        made.append((kind, source, offset, length))
    return tuple(made)


@st.composite
def groups(draw: st.DrawFn, *, most: int = 3) -> list[ShardPlan]:
    """Draw shards that have some of their tensors in common, congruent with a source or not."""
    known = draw(st.lists(bodies(), min_size=1, max_size=3))
    shards = []
    for number in range(draw(st.integers(1, most))):
        chosen = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))
        tensors = [tensor for body in chosen for tensor in body]
        remainder = tensors[0][2] % PAGE if draw(st.booleans()) else draw(st.integers(0, PAGE - 1))
        shards.append(shard_of(tensors, remainder=remainder, name=f"m{number}"))
    return shards


def shard_of(tensors: Sequence[tuple[str, int, int, int]], *, remainder: int, name: str = "m") -> ShardPlan:
    """Return a shard of tensors of bytes, whose data begins at `remainder` modulo the page."""
    header = encode_header(
        ((f"t{number}", DType.U8, (length,)) for number, (_, _, _, length) in enumerate(tensors)),
        {},
        alignment=PAGE,
        remainder=remainder,
    )
    position, operations = len(header), []
    for kind, source, source_offset, length in tensors:
        operations.append(_operation(kind, source, source_offset, length, position))
        position += length
    return ShardPlan(name=name, header=header, size=position, operations=tuple(operations))


def _operation(kind: str, source: int, source_offset: int, length: int, offset: int) -> Operation:
    match kind:
        case "zero":
            return Zero(offset=offset, length=length)
        case "constant":
            return Constant(offset=offset, length=length, value=119.0, target=DType.U8)
    return Copy(offset=offset, length=length, source=source, source_offset=source_offset)


source_contents = st.lists(
    st.tuples(st.integers(0, 10**9), st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9)), max_size=2)),
    min_size=SOURCES,
    max_size=SOURCES,
)
"""For each source a seed, and holes: first page and pages."""


@contextmanager
def sources_in(folder: Path, contents: Sequence[tuple[int, Sequence[tuple[int, int]]]]):
    """Write sources with their holes and yield open readers."""
    readers: list[LocalReader] = []
    try:
        for number, (seed, holes) in enumerate(contents):
            raw, gaps = random.Random(seed).randbytes(SOURCE_BYTES), _pages(holes)
            with (folder / f"source-{number}").open("wb") as file:
                file.truncate(SOURCE_BYTES)
                for start in range(0, SOURCE_BYTES, PAGE):
                    if start // PAGE not in gaps:
                        file.seek(start)
                        file.write(raw[start : start + PAGE])
            readers.append(LocalReader(folder / f"source-{number}"))
        yield readers
    finally:
        for reader in readers:
            reader.close()


def _pages(holes: Sequence[tuple[int, int]]) -> set[int]:
    return {page for first, count in holes for page in range(first, first + count)}


def plain_file(shard: ShardPlan, readers: Sequence[RangeReader]) -> bytes:
    """Return what the file has to be, by the plain path."""
    return shard.header + b"".join(plain_bytes(operation, readers) for operation in shard.operations)


@st.composite
def transformed_shards(draw: st.DrawFn) -> ShardPlan:
    """Draw a shard of casts, scaled and blended tensors and copies between them, over floats of any place."""
    tensors = []
    for _ in range(draw(st.integers(1, 4))):
        target = draw(st.sampled_from([DType.F32, DType.BF16]))
        elements = draw(st.integers(1, 5 * PAGE))
        tensors.append((target, elements, draw(st.sampled_from(["copy", "scale", "scale", "blend"]))))
    tensors.sort(key=lambda tensor: -tensor[0].bits)
    header = encode_header(
        ((f"t{number}", dtype, (elements,)) for number, (dtype, elements, _) in enumerate(tensors)),
        {},
        alignment=PAGE,
        remainder=8 * draw(st.integers(0, PAGE // 8 - 1)),
    )
    position, operations = len(header), []
    for target, elements, kind in tensors:
        length = elements * target.bits // 8
        operations.append(_transform(draw, kind, target, elements, position))
        position += length
    return ShardPlan(name="m", header=header, size=position, operations=tuple(operations))


def _transform(draw: st.DrawFn, kind: str, target: DType, elements: int, offset: int) -> Operation:
    length = elements * target.bits // 8
    terms = []
    for _ in range(draw(st.integers(2, 3)) if kind == "blend" else 1):
        dtype = draw(st.sampled_from([DType.F16, DType.BF16, DType.F32]))
        read = elements * dtype.bits // 8
        place = draw(st.sampled_from([offset % PAGE, 8, 104])) if draw(st.booleans()) else None
        place = draw(st.integers(0, SOURCE_BYTES - read)) if place is None else place
        terms.append(Term(source=draw(st.integers(0, SOURCES - 1)), source_offset=place, dtype=dtype))
    match kind:
        case "scale":
            factor = draw(st.sampled_from([1.0, 0.7]))
            return Scale(
                offset=offset, length=length, term=terms[0], factor=factor, compute=DType.F32, target=target
            )
        case "blend":
            return Blend(
                offset=offset,
                length=length,
                terms=tuple(terms),
                weights=(0.3, 1.0, -0.25)[: len(terms)],
                normalize=False,
                compute=DType.F32,
                target=target,
            )
    return Copy(
        offset=offset, length=length, source=0, source_offset=draw(st.integers(0, SOURCE_BYTES - length))
    )
