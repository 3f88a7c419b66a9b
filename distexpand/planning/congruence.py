"""Congruence: output bytes that lie as their source's do, modulo the file system's block.

File systems that share extents share whole blocks, so a range can be cloned
only where its offsets in both files agree modulo the block; direct I/O saves a
pass over memory there. Tensors follow one another without gaps, so that all
that can be chosen is how long a shard's header is, and where a shard ends. The
choice is always made, whatever the output's file system: the same recipe gives
the same bytes everywhere.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from distexpand.formats.header import LENGTH_BYTES
from distexpand.planning.operations import Copy
from distexpand.planning.tensors import OutputTensor

SHARED_BLOCK = 4096
"""Bytes; the block of XFS and Btrfs as they are made by default, and the page of most processors."""


def header_remainder(tensors: Sequence[OutputTensor]) -> int:
    """Return what the header's size has to be modulo the block for most copied bytes to be congruent.

    Args:
        tensors: those of a shard in order of offset.
    """
    weights: Counter[int] = Counter()
    position = 0
    for tensor in tensors:
        operation = tensor.operation
        if isinstance(operation, Copy):
            weights[(operation.source_offset - position) % SHARED_BLOCK] += operation.length
        position += operation.length
    # An odd source, whose tensors don't lie on multiples of their element, mustn't make the output odd.
    fitting = {remainder: weight for remainder, weight in weights.items() if not remainder % LENGTH_BYTES}
    return max(fitting, key=lambda remainder: (fitting[remainder], -remainder), default=0)


def congruent_runs(tensors: Iterable[OutputTensor]) -> Iterator[list[OutputTensor]]:
    """Yield neighbouring tensors that can all be congruent with their sources in one shard.

    Counted for each width of element apart, as a shard has them one after the other. What
    isn't copied, or is smaller than a block, goes with what it stands beside.
    """
    run: list[OutputTensor] = []
    positions: Counter[int] = Counter()
    remainders: dict[int, int] = {}
    for tensor in tensors:
        operation, width = tensor.operation, tensor.dtype.bits
        if isinstance(operation, Copy) and operation.length >= SHARED_BLOCK:
            remainder = (operation.source_offset - positions[width]) % SHARED_BLOCK
            if remainders.setdefault(width, remainder) != remainder:
                yield run
                run, remainders = [], {width: remainder}
        run.append(tensor)
        positions[width] += operation.length
    if run:
        yield run
