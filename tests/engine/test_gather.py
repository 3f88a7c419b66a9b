"""Gathered parts of rows: the engine's way, the plain one and numpy's are the same, wherever it is cut."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.engine import gather
from distexpand.engine.blocks import slice_operation
from distexpand.engine.gather import fill_gather
from distexpand.planning.operations import Gather, source_terms
from distexpand.storage.local.reader import LocalReader
from distexpand.verifying.plain import plain_bytes

OFFSET = 7


@st.composite
def gathers(draw):
    part = draw(st.integers(1, 5))
    count = draw(st.integers(1, 6))
    rows = draw(st.integers(1, 9))
    parts = tuple(draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=9)))
    whole = Gather(
        offset=100,
        length=rows * part * len(parts),
        source=0,
        source_offset=OFFSET,
        row=part * count,
        part=part,
        parts=parts,
    )
    start = draw(st.integers(0, whole.length - 1))
    length = draw(st.integers(1, whole.length - start))
    return rows, count, whole, start, length


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gather")


@pytest.mark.parametrize("small_row", [0, 8, 1 << 18], ids=["large rows", "some of each", "small rows"])
@given(gathers())
def test_gather_is_numpys(small_row, directory, case):
    rows, count, whole, start, length = case
    data = np.random.default_rng(0).integers(0, 256, (rows, count, whole.part), dtype=np.uint8)
    path = directory / "source"
    path.write_bytes(bytes(OFFSET) + data.tobytes())
    expected = data[:, list(whole.parts)].tobytes()
    part = slice_operation(whole, whole.offset + start, length)
    target = bytearray(length)
    with pytest.MonkeyPatch.context() as patch, closing(LocalReader(path)) as reader:
        patch.setattr(gather, "_SMALL_ROW", small_row)
        patch.setattr(gather, "_READ_BYTES", 64)
        fill_gather(part, [reader], memoryview(target))
        assert bytes(target) == expected[start : start + length]
        assert plain_bytes(replace(part, offset=0), [reader]) == bytes(target)


@given(gathers())
def test_what_a_gather_reads_lies_in_its_source(case):
    rows, _, whole, start, length = case
    ((source, offset, size),) = source_terms(slice_operation(whole, whole.offset + start, length))
    assert source == 0
    assert offset >= OFFSET
    assert offset + size <= OFFSET + rows * whole.row
