"""What a plan asks of a machine, shard by shard: bytes, requests and seconds of a processor.

Read off the operations, so that a prediction counts what the engine will do:
zeros are neither read nor digested byte by byte, a copy reads and writes its
length, a transform reads each of its terms in small steps, and what is made of
the same source bytes reads them once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from distexpand.planning.digest_layout import PIECE_BYTES
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Gather,
    Operation,
    Scale,
    Zero,
    distinct_bytes,
    source_terms,
)

STEP_BYTES = 2 * 1024 * 1024
"""Output bytes that the engine transforms at a time; each term is read once for each."""

_ADDITION_TERMS = 2
_RANK_OF_A_TERM = 16
"""A low-rank addition takes the time of a blend of so many terms, and of one more for so much rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWork:
    """One shard's demands.

    `read` is bytes read from sources, `data` bytes that have to be written, `zeros` bytes
    that need a write only where a file can't have holes. `transformed` is the part of
    `data` that is computed, weighted by its number of terms. `gets` is requests to read;
    `puts` parts of an upload.
    """

    read: int
    data: int
    zeros: int
    copied: int
    scaled: int
    blended: int
    gets: int
    puts: int

    @property
    def size(self) -> int:
        """The shard's bytes."""
        return self.data + self.zeros


def plan_work(plan: Plan, *, piece_bytes: int = PIECE_BYTES) -> tuple[ShardWork, ...]:
    """Return the demands of each shard, in the plan's order, which is the order of dispatch."""
    return tuple(shard_work(shard, piece_bytes) for shard in plan.shards)


def shard_work(shard: ShardPlan, piece_bytes: int = PIECE_BYTES) -> ShardWork:
    """Return what one shard demands of an engine whose blocks have `piece_bytes`."""
    zeros = _total(shard.operations, Zero)
    reading = {source_terms(part): part for part in shard.operations}.values()
    return ShardWork(
        read=distinct_bytes(shard.operations),
        data=shard.size - zeros,
        zeros=zeros,
        copied=_total(shard.operations, Copy) + _total(shard.operations, Gather),
        scaled=_total(shard.operations, Scale),
        blended=sum(map(_blended, shard.operations)),
        gets=sum(_gets(part, piece_bytes) for part in reading),
        puts=_ceil(shard.size, piece_bytes),
    )


def _total(operations: Iterable[Operation], kind: type[Operation]) -> int:
    return sum(operation.length for operation in operations if isinstance(operation, kind))


def _blended(operation: Operation) -> int:
    """Return the operation's bytes times its terms; a low-rank addition takes as long as some, measured."""
    if isinstance(operation, AddLowRank):
        return _ADDITION_TERMS * operation.length + operation.length * operation.rank // _RANK_OF_A_TERM
    return operation.length * len(operation.terms) if isinstance(operation, Blend) else 0


def _gets(operation: Operation, piece_bytes: int) -> int:
    match operation:
        case Copy():
            return _ceil(operation.length, piece_bytes)
        case Zero() | Constant():
            return 0
        case Gather():
            return max(_ceil(source_terms(operation)[0][2], STEP_BYTES), 1)
        case Scale() | Blend():
            return _ceil(operation.length, STEP_BYTES) * len(source_terms(operation))
        case AddLowRank():
            rows = operation.rank if operation.transposed else 1
            # lengths of rows, and what the first and the last have beside a step
            lengths = 0 if operation.magnitude is None else 3
            steps = _ceil(operation.length, STEP_BYTES) * (1 + rows + lengths)
            return _ceil(operation.length, piece_bytes) + steps
        case _:
            assert_never(operation)


def _ceil(whole: int, part: int) -> int:
    return -(-whole // part)
