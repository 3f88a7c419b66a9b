"""Shards that are made of the same source bytes are worked on together, so that those are read once.

As far as they lie near: each is still finished in its turn, so an interruption
costs hardly more. `engine.readings` has what then is read once.
"""

from collections.abc import Iterable, Sequence

from distexpand.planning.model import ShardPlan
from distexpand.planning.operations import source_terms

_LEAST_READ = 1 << 20
"""Bytes; a range shorter than this isn't worth being looked for, nor waiting for."""

_LEAST_SHARE = 16
"""Shards are worked on together if they share this part of the smaller one, or more."""

MOST_TOGETHER = 8
"""Shards worked on together: so many attempts are open at once."""


def groups_that_share(shards: Sequence[ShardPlan], *, most_bytes: int) -> list[list[ShardPlan]]:
    """Return the shards in order, in groups to be worked on together.

    Args:
        shards: those still to be written.
        most_bytes: size of a group that isn't a single shard.
    """
    read = [_read(shard) for shard in shards]
    groups: list[list[ShardPlan]] = []
    end = 0
    for index, shard in enumerate(shards):
        if index >= end:
            groups.append([])
            end = index + 1
        groups[-1].append(shard)
        reach = _reach(shards, read, index)
        begin = index + 1 - len(groups[-1])
        while reach > end and (
            reach - begin > MOST_TOGETHER or sum(s.size for s in shards[begin:reach]) > most_bytes
        ):
            reach -= 1
        end = max(end, reach)
    return groups


def _read(shard: ShardPlan) -> dict[tuple[int, int], int]:
    """Return the length of each larger source range by number of the source and offset."""
    return {
        (source, offset): length
        for operation in shard.operations
        for source, offset, length in source_terms(operation)
        if length >= _LEAST_READ
    }


def _reach(shards: Sequence[ShardPlan], read: Sequence[dict[tuple[int, int], int]], index: int) -> int:
    """Return the position behind the last shard, of those near, that shares enough with a shard."""
    reach = index + 1
    for other in range(index + 1, min(index + MOST_TOGETHER, len(shards))):
        common = _common(read[index], read[other])
        if common * _LEAST_SHARE >= min(shards[index].size, shards[other].size):
            reach = other + 1
    return reach


def _common(one: dict[tuple[int, int], int], other: Iterable[tuple[int, int]]) -> int:
    return sum(one.get(key, 0) for key in other)
