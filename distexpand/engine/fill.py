"""Fill a block's buffer from its operations, telling which runs hold data and which are known zeros.

What is known to be zero (zero operations, holes of sparse sources) is neither
read nor written: a fresh attempt reads as zero there already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distexpand.engine.blocks import Block, joined_copies, slice_operation
from distexpand.engine.buffers import PAGE_BYTES, block_buffer
from distexpand.engine.gather import fill_gather
from distexpand.engine.kept import KeptMemory
from distexpand.engine.low_rank import LowRankAdder
from distexpand.engine.row_lengths import RowLengthSetter
from distexpand.engine.scratch import Scratch
from distexpand.engine.transforms import apply_transform
from distexpand.planning.digest_layout import PIECE_BYTES, piece_digest, zeros_digest
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Elementwise,
    Gather,
    Operation,
    Scale,
    Zero,
    constant_element,
    term_ranges,
)
from distexpand.storage.local.direct import LEAST_BYTES
from distexpand.storage.ranges import RangeReader, Readers

STEP_BYTES = 2 * 1024 * 1024
"""Output bytes of a transform made at a time; bounds the memory for its inputs."""

_WIDEST_ELEMENT = 8
"""Bytes: what lies at a multiple of it in its file has its elements aligned in memory as well."""

_PAGES_BESIDE = 6
"""Pages of a buffer beside the block: one before it, and what five roundings to whole pages may take."""

_MOVED_BYTES = 2 * 1024 * 1024
"""Bytes moved in memory at a time, to lie as their place in the file does."""

_ZEROS = memoryview(bytes(1 << 18))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`length` bytes at `start` of the block's buffer that hold data and have to be written."""

    start: int
    length: int


class Workspace:
    """One thread's memory: a block buffer and, once a transform needs them, input buffers and scratch.

    A byte of the block that lies at an offset of its file lies in memory at an address that
    is the same modulo the page, so that whole pages of it can be written directly. There is
    room for a page before the block and for pages behind it, to read whole pages of a source.
    """

    def __init__(self, size: int = PIECE_BYTES) -> None:
        self.area = block_buffer(size + _PAGES_BESIDE * PAGE_BYTES)
        self._inputs: list[memoryview] = []
        self._moved = memoryview(b"")
        self.kept = KeptMemory()
        self.scratch = Scratch()
        self.low_rank = LowRankAdder(self.scratch)
        self.row_lengths = RowLengthSetter()
        self.begin(0)

    def begin(self, offset: int) -> None:
        """Make room for a block at `offset` of its file: its bytes begin at `origin` of `area`."""
        self.origin = PAGE_BYTES + offset % PAGE_BYTES
        self.buffer = self.area[self.origin :]

    def input(self, number: int, length: int) -> memoryview:
        """Return a term's page-aligned input buffer, of so many bytes and two pages at least."""
        if number == len(self._inputs):
            self._inputs.append(memoryview(b""))
        if len(self._inputs[number]) < length + 2 * PAGE_BYTES:
            self._inputs[number] = block_buffer(length + 2 * PAGE_BYTES)
        return self._inputs[number]

    def lying_at(self, offset: int, start: int, stop: int) -> Iterator[tuple[int, memoryview]]:
        """Yield a part of the buffer for `offset` of a file, as offsets and memory that lies alike.

        That is the buffer itself, unless the block was filled to lie as another place does.
        """
        if (self.origin + start - offset) % PAGE_BYTES == 0 or stop - start < LEAST_BYTES:
            yield offset, self.buffer[start:stop]
            return
        if not self._moved:
            self._moved = block_buffer(_MOVED_BYTES)
        while start < stop:
            begin = offset % PAGE_BYTES
            length = min(_MOVED_BYTES - begin, stop - start)
            moved = self._moved[begin : begin + length]
            moved[:] = self.buffer[start : start + length]
            yield offset, moved
            offset, start = offset + length, start + length


def fill_block(block: Block, readers: Readers, workspace: Workspace) -> list[Run]:
    """Make a block's bytes in the workspace's buffer and return the runs that hold data.

    Bytes of the buffer outside the runs are undefined; they stand for zeros.
    """
    workspace.begin(block.offset)
    runs: list[Run] = []
    for operation in joined_copies(op for piece in block.pieces for op in piece.operations):
        for start, length in _fill(operation, block.offset, readers, workspace):
            if runs and runs[-1].start + runs[-1].length == start:
                runs[-1] = Run(start=runs[-1].start, length=runs[-1].length + length)
            else:
                runs.append(Run(start=start, length=length))
    return runs


def digest_pieces(block: Block, runs: Sequence[Run], buffer: memoryview) -> list[bytes]:
    """Return the digest of each piece of a filled block."""
    digests = []
    for piece in block.pieces:
        start, stop = piece.offset - block.offset, piece.offset - block.offset + piece.length
        inside = [run for run in runs if run.start < stop and run.start + run.length > start]
        if not inside:
            digests.append(zeros_digest(piece.length))
            continue
        position = start
        for run in inside:
            zero_fill(buffer[position : max(position, run.start)])
            position = max(position, run.start + run.length)
        zero_fill(buffer[position:stop])
        digests.append(piece_digest(buffer[start:stop]))
    return digests


def zero_fill(area: memoryview) -> None:
    """Set a part of a buffer to zero."""
    for start in range(0, len(area), len(_ZEROS)):
        part = area[start : start + len(_ZEROS)]
        part[:] = _ZEROS[: len(part)]


def constant_fill(operation: Constant, area: memoryview) -> None:
    """Fill a part of a buffer, of whole elements, with a constant."""
    element = constant_element(operation.value, operation.target)
    pattern = memoryview(element * (len(_ZEROS) // len(element)))
    for start in range(0, len(area), len(pattern)):
        part = area[start : start + len(pattern)]
        part[:] = pattern[: len(part)]


def _fill(
    operation: Operation, base: int, readers: Readers, workspace: Workspace
) -> Iterator[tuple[int, int]]:
    start = operation.offset - base
    match operation:
        case Zero():
            return
        case Constant():
            constant_fill(operation, workspace.buffer[start : start + operation.length])
            yield start, operation.length
        case Copy():
            yield from _copy(operation, base, readers[operation.source], workspace)
        case Gather():
            fill_gather(operation, readers, workspace.buffer[start : start + operation.length])
            yield start, operation.length
        case Scale() | Blend() | AddLowRank():
            _transform(operation, base, readers, workspace)
            yield start, operation.length


def _copy(operation: Copy, base: int, reader: RangeReader, workspace: Workspace) -> Iterator[tuple[int, int]]:
    shift = operation.offset - base - operation.source_offset
    for offset, length in reader.data_ranges(operation.source_offset, operation.length):
        start = offset + shift
        _read_aligned(reader, offset, length, workspace, start)
        yield start, length


def _read_aligned(reader: RangeReader, offset: int, length: int, workspace: Workspace, start: int) -> None:
    """Read a range to `start` of the block, in whole units of the reader's alignment.

    A little of what stands beside it in the source comes along. It may only overwrite what
    isn't filled yet, which in order of operations is all behind; so if need be the bytes are
    read a little behind their place, and moved.
    """
    alignment = reader.alignment if length >= LEAST_BYTES else 1
    begin, end = _whole_units(reader, offset, length, alignment)
    lead = offset - begin
    place = workspace.origin + start
    read = place - lead
    if read % alignment or (start and lead):
        read = -(-place // alignment) * alignment
    reader.read_into(begin, workspace.area[read : read + end - begin])
    if read + lead != place:
        workspace.area[place : place + length] = workspace.area[read + lead : read + lead + length]


def _whole_units(reader: RangeReader, offset: int, length: int, alignment: int) -> tuple[int, int]:
    """Return begin and end of a range with its ends moved out to the alignment, not beyond the file."""
    end = offset + length
    return offset // alignment * alignment, max(end, min(-(-end // alignment) * alignment, reader.size))


def _transform(operation: Elementwise, base: int, readers: Readers, workspace: Workspace) -> None:
    """Compute in steps: in place what has the size of its only term, which is read at once as a copy is."""
    start, end = operation.offset - base, operation.offset + operation.length
    (source, source_offset, length), *others = term_ranges(operation)
    in_place = not others and length == operation.length
    if in_place:
        _read_aligned(readers[source], source_offset, length, workspace, start)
    for offset in range(operation.offset, end, STEP_BYTES):
        step = slice_operation(operation, offset, min(STEP_BYTES, end - offset))
        assert isinstance(step, Elementwise)
        target = workspace.buffer[offset - base : offset - base + step.length]
        inputs = [target] if in_place else _read_inputs(step, readers, workspace)
        if isinstance(step, AddLowRank):
            adder = workspace.low_rank if step.magnitude is None else workspace.row_lengths
            adder.add(step, inputs[0], target, readers)
        else:
            apply_transform(step, inputs, target, workspace.scratch)


def _read_inputs(step: Elementwise, readers: Readers, workspace: Workspace) -> list[memoryview]:
    """Read each term to a buffer of its own, in whole units of the reader's alignment."""
    inputs = []
    for number, (source, offset, length) in enumerate(term_ranges(step)):
        reader = readers[source]
        aligned = length >= LEAST_BYTES and offset % _WIDEST_ELEMENT == 0
        alignment = reader.alignment if aligned else 1
        begin, end = _whole_units(reader, offset, length, alignment)
        area = workspace.input(number, length)
        reader.read_into(begin, area[: end - begin])
        inputs.append(area[offset - begin : offset - begin + length])
    return inputs
