"""Parts are put together right from whatever order of writes, each once, in little memory."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import StorageError
from distexpand.storage.objects.part_grid import LEAST_PART, MOST_PARTS, PartGrid, part_size
from tests.storage.contract import noise

SIZES = st.integers(0, 200)
PARTS = st.integers(1, 70)


@st.composite
def pieces(draw, size):
    """Return what is given of a file, in any order: begin, end and whether it is left as zero."""
    cuts = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=12))})
    ranges = [(begin, end, draw(st.booleans())) for begin, end in pairwise(cuts)]
    kept = [found for found in ranges if draw(st.integers(0, 5))]
    return draw(st.permutations(kept))


def _given(grid, begin, end, is_zero, raw):
    if is_zero:
        return grid.leave_zero(begin, end - begin)
    return grid.write(begin, memoryview(raw)[begin:end])


def _collect(found, parts):
    for part in parts:
        assert part.index not in found
        found[part.index] = bytes(part.body)


@given(st.data(), SIZES, PARTS)
def test_parts_have_the_bytes_that_were_given_and_zeros_elsewhere(data, size, part_bytes):
    grid, raw, expected = PartGrid(size, part_bytes), noise(size), bytearray(size)
    found: dict[int, bytes] = {}
    for begin, end, is_zero in data.draw(pieces(size)):
        expected[begin:end] = bytes(end - begin) if is_zero else raw[begin:end]
        _collect(found, _given(grid, begin, end, is_zero, raw))
    _collect(found, grid.rest())
    assert b"".join(found[index] for index in range(grid.count)) == expected
    assert sorted(found) == list(range(max(1, -(-size // part_bytes))))
    assert grid.held_bytes == 0


@given(st.data(), st.integers(1, 200), PARTS)
def test_a_part_comes_as_soon_as_nothing_of_it_is_missing(data, size, part_bytes):
    grid, raw, given_bytes = PartGrid(size, part_bytes), noise(size), set()
    found: dict[int, bytes] = {}
    for begin, end, is_zero in data.draw(pieces(size)):
        _collect(found, _given(grid, begin, end, is_zero, raw))
        given_bytes |= set(range(begin, end))
        for index in range(grid.count):
            start = index * part_bytes
            missing = set(range(start, start + grid.length(index))) - given_bytes
            assert (index in found) == (not missing)


@given(st.data(), st.integers(1, 200), PARTS)
def test_no_byte_is_given_twice(data, size, part_bytes):
    grid, raw = PartGrid(size, part_bytes), noise(size)
    done = data.draw(pieces(size).filter(bool))
    for begin, end, is_zero in done:
        list(_given(grid, begin, end, is_zero, raw))
    begin, end, _ = data.draw(st.sampled_from(done))
    offset = data.draw(st.integers(begin, end - 1))
    with pytest.raises(StorageError, match="given before"):
        list(_given(grid, offset, offset + 1, data.draw(st.booleans()), raw))


@given(SIZES, PARTS, st.integers(-5, 210), st.integers(1, 20))
def test_what_lies_outside_is_an_error(size, part_bytes, offset, length):
    grid = PartGrid(size, part_bytes)
    if 0 <= offset <= size - length:
        list(grid.leave_zero(offset, length))
        return
    with pytest.raises(StorageError, match=f"of a file of {size}"):
        list(grid.write(offset, memoryview(bytes(length))))


@given(st.data(), st.integers(1, 200), PARTS)
def test_parts_that_are_taken_whole_never_come(data, size, part_bytes):
    grid = PartGrid(size, part_bytes)
    first = data.draw(st.integers(0, grid.count - 1))
    stop = data.draw(st.integers(first + 1, grid.count))
    assert grid.take_whole(first, stop)
    assert not grid.take_whole(first, stop)
    found: dict[int, bytes] = {}
    begin, end = first * part_bytes, min(stop * part_bytes, size)
    with pytest.raises(StorageError, match="given before"):
        list(grid.write(begin, memoryview(b"x")))
    _collect(found, grid.leave_zero(0, size))
    assert sorted(found) == [*range(first), *range(stop, grid.count)]
    grid.put_back(first, stop)
    _collect(found, grid.write(begin, memoryview(bytes(end - begin))))
    assert sorted(found) == list(range(grid.count))


def test_parts_with_something_in_them_are_not_taken():
    grid = PartGrid(30, 10)
    list(grid.write(15, memoryview(b"x")))
    assert not grid.take_whole(0, 2)
    assert grid.take_whole(0, 1)
    assert grid.take_whole(2, 3)


def test_threads_may_give_at_once():
    size, part_bytes = 2_000_003, 40_000
    grid, raw, random = PartGrid(size, part_bytes), noise(size), Random(1)
    cuts = sorted({0, size, *(random.randrange(size) for _ in range(500))})
    ranges = list(pairwise(cuts))
    random.shuffle(ranges)

    def give(found):
        parts = grid.write(found[0], memoryview(raw)[found[0] : found[1]])
        return [(part.index, bytes(part.body)) for part in parts]

    with ThreadPoolExecutor(8) as pool:
        parts = [part for found in pool.map(give, ranges) for part in found]
    assert len(parts) == grid.count
    same = b"".join(body for _, body in sorted(parts)) == raw
    assert same


@given(st.integers(0, 6 * 10**12), st.sampled_from([1 << 20, LEAST_PART]))
def test_no_file_has_too_many_parts(size, least):
    part_bytes = part_size(size, least=least)
    assert part_bytes >= least
    assert -(-size // part_bytes) <= MOST_PARTS
    assert part_bytes == least or part_bytes - (1 << 20) < -(-size // MOST_PARTS) <= part_bytes


def test_the_order_of_the_engine_holds_about_a_part_for_each_thread():
    """Blocks of two parts that lie anywhere on the grid, of four threads that are never far apart."""
    part_bytes, block, threads = 1000, 2000, 4
    grid, random = PartGrid(200_000, part_bytes), Random(2)
    waiting = list(range(337, 200_000, block))
    list(grid.write(0, memoryview(bytes(337))))
    most = 0
    while waiting:
        offset = waiting.pop(random.randrange(min(threads, len(waiting))))
        list(grid.write(offset, memoryview(bytes(min(block, 200_000 - offset)))))
        most = max(most, grid.held_bytes)
    assert most <= 2 * threads * part_bytes
    assert not list(grid.rest())
