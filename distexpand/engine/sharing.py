"""Blocks that hold the same bytes: read and digested once, written to every place that they have.

A layer that goes to several places is most of what an expansion reads more
than once. Shards that share much are worked on together, as far as they lie
near: each is still finished in its turn, so an interruption costs hardly more.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from distexpand.engine.blocks import Block, joined_copies
from distexpand.engine.buffers import PAGE_BYTES
from distexpand.plan.model import ShardPlan
from distexpand.plan.operations import Copy

_LEAST_COPY = 1 << 20
"""A copy shorter than this isn't worth being looked for; blocks are mostly of longer ones."""

_LEAST_SHARE = 16
"""Shards are worked on together if they share this part of the smaller one, or more."""

MOST_TOGETHER = 8
"""Shards worked on together: so many attempts are open at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A block and the position of its shard among those that are worked on together."""

    shard: int
    block: Block


def shared_blocks(blocks: Iterable[Iterable[Block]]) -> Iterator[list[Target]]:
    """Yield the places of every distinct block, in order of the first.

    Args:
        blocks: those of each shard.
    """
    known: dict[Hashable, list[Target]] = {}
    for shard, own in enumerate(blocks):
        for number, block in enumerate(own):
            content = _content(block) or (shard, number)  # the latter: like no other
            known.setdefault(content, []).append(Target(shard=shard, block=block))
    yield from known.values()


def groups_that_share(shards: Sequence[ShardPlan], *, most_bytes: int) -> list[list[ShardPlan]]:
    """Return the shards in order, in groups to be worked on together.

    Args:
        shards: those still to be written.
        most_bytes: size of a group that isn't a single shard.
    """
    copied = [_copied(shard) for shard in shards]
    groups: list[list[ShardPlan]] = []
    end = 0
    for index, shard in enumerate(shards):
        if index >= end:
            groups.append([])
            end = index + 1
        groups[-1].append(shard)
        reach = _reach(shards, copied, index)
        begin = index + 1 - len(groups[-1])
        while reach > end and (
            reach - begin > MOST_TOGETHER or sum(s.size for s in shards[begin:reach]) > most_bytes
        ):
            reach -= 1
        end = max(end, reach)
    return groups


def _content(block: Block) -> Hashable:
    """Return what tells blocks of different bytes or pieces apart; nothing for those not worth comparing."""
    operations = list(joined_copies(op for piece in block.pieces for op in piece.operations))
    if not any(isinstance(operation, Copy) and operation.length >= _LEAST_COPY for operation in operations):
        return None
    return (
        block.offset % PAGE_BYTES,
        tuple((piece.offset - block.offset, piece.length) for piece in block.pieces),
        tuple(replace(operation, offset=operation.offset - block.offset) for operation in operations),
    )


def _copied(shard: ShardPlan) -> dict[tuple[int, int], int]:
    return {
        (operation.source, operation.source_offset): operation.length
        for operation in shard.operations
        if isinstance(operation, Copy) and operation.length >= _LEAST_COPY
    }


def _reach(shards: Sequence[ShardPlan], copied: Sequence[dict[tuple[int, int], int]], index: int) -> int:
    """Return the position behind the last shard, of those near, that shares enough with a shard."""
    reach = index + 1
    for other in range(index + 1, min(index + MOST_TOGETHER, len(shards))):
        common = _common(copied[index], copied[other])
        if common * _LEAST_SHARE >= min(shards[index].size, shards[other].size):
            reach = other + 1
    return reach


def _common(one: dict[tuple[int, int], int], other: Iterable[tuple[int, int]]) -> int:
    return sum(one.get(key, 0) for key in other)
