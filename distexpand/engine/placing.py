"""Write a block that was made to all its places; later ones share with the first where a file system can."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from distexpand.engine.cloning import LEAST_SHARED
from distexpand.engine.fill import Run, Workspace
from distexpand.engine.readings import Place, PlacedBlock
from distexpand.storage.ranges import Attempt

_Span = TypeVar("_Span", Run, Place)


def write_block(
    placed: PlacedBlock,
    runs: Sequence[Run],
    workspace: Workspace,
    attempts: Sequence[Attempt],
    advance: Callable[[int], None],
) -> None:
    """Write a block's runs to each of its places.

    Args:
        placed: the block.
        runs: what of it holds data.
        workspace: holds the bytes.
        attempts: those of the shards that are worked on together.
        advance: told of bytes that are in place, zeros too.

    Raises:
        StorageError: writing failed.
    """
    for place in placed.firsts:
        for _, start, stop in _overlaps(runs, place.start, place.start + place.length):
            _write_part(place, start, stop, workspace, attempts)
        _leave_zeros(place, runs, attempts)
        advance(place.length)
    for place in placed.others:
        for first, begin, end in _overlaps(placed.firsts, place.start, place.start + place.length):
            for _, start, stop in _overlaps(runs, begin, end):
                for left, right in _unshared(place, first, (start, stop), attempts):
                    _write_part(place, left, right, workspace, attempts)
        _leave_zeros(place, runs, attempts)
        advance(place.length)


def _overlaps(spans: Sequence[_Span], begin: int, end: int) -> Iterator[tuple[_Span, int, int]]:
    """Yield what a range of the block has in common with each of some spans, which are in order."""
    nearest = bisect_right(spans, begin, key=attrgetter("start")) - 1
    for index in range(max(nearest, 0), len(spans)):
        span = spans[index]
        start, stop = max(span.start, begin), min(span.start + span.length, end)
        if span.start >= end:
            return
        if start < stop:
            yield span, start, stop


def _leave_zeros(place: Place, runs: Sequence[Run], attempts: Sequence[Attempt]) -> None:
    """Tell a place's attempt what of it no run holds."""
    shift, end = place.offset - place.start, place.start + place.length
    settled = place.start
    for _, start, stop in _overlaps(runs, place.start, end):
        attempts[place.shard].leave_zero(shift + settled, start - settled)
        settled = stop
    attempts[place.shard].leave_zero(shift + settled, end - settled)


def _unshared(
    place: Place, first: Place, part: tuple[int, int], attempts: Sequence[Attempt]
) -> Iterator[tuple[int, int]]:
    """Share a part of a block with its first place, and yield what of it couldn't be."""
    start, stop = part
    if stop - start >= LEAST_SHARED:
        shift, there = place.offset - place.start, first.offset - first.start
        begin, end = attempts[place.shard].share(
            attempts[first.shard], there + start, shift + start, stop - start
        )
        if begin < end:
            yield start, begin - shift
            yield end - shift, stop
            return
    yield start, stop


def _write_part(
    place: Place, start: int, stop: int, workspace: Workspace, attempts: Sequence[Attempt]
) -> None:
    if start == stop:
        return
    for offset, memory in workspace.lying_at(place.offset - place.start + start, start, stop):
        attempts[place.shard].write(offset, memory)
