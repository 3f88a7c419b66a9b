"""Transforms against the processor's limit: the engine's steps beside bare torch on large tensors.

Bare is one call of torch (for a blend or a low-rank addition the few of its expression) on whole
tensors that are there already, writing to one that is there already: what the arithmetic costs on this
processor without memory's bounds, one NaN, and places in files. A low-rank addition is done in
float32 there, whose sums depend on the shapes. `computed` is the engine's
arithmetic on sources in memory, into block buffers. `read and computed` fills blocks from a
file that the system holds in memory; bare then reads the file whole first.

Figures are seconds of one core per GB of output, medians of rounds that take turns.

    python -m benchmarks.transform_speed
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from distexpand.engine.blocks import Block, cut_pieces, slice_operation
from distexpand.engine.fill import STEP_BYTES, Workspace, fill_block
from distexpand.engine.torch_library import torch_dtype
from distexpand.engine.transforms import apply_transform
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.planning.operations import AddLowRank, Blend, Elementwise, Scale, Term, term_ranges, terms_of
from distexpand.storage.local.reader import LocalReader
from distexpand.storage.memory import BytesReader

_MEMORY = Path("/dev/shm")
_BLOCK_BYTES = 16 * 1024 * 1024
_COLUMNS = 4096
"""Of the matrix that a low-rank addition makes."""

Bare = Callable[[list[torch.Tensor], torch.Tensor], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A transform, and the same arithmetic by torch: from whole sources into a whole result."""

    name: str
    operation: Elementwise
    bare: Bare


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--elements", type=int, default=1 << 25, help="of each tensor")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fast = _MEMORY if arguments.work is None and _MEMORY.exists() else arguments.work
    with measure.work_directory(fast) as work:
        measure.need_free(work, arguments.elements * 8)
        rows = [_row(case, work, arguments.rounds) for case in _cases(arguments.elements)]
        measure.print_heading("Transforms: seconds of one core per GB of output", work)
    headings = ["transform", "bare", "computed", "ratio", "bare with reading", "read and computed", "ratio"]
    measure.print_table(headings, rows)
    return 0


def _cases(count: int) -> list[Case]:
    half, brain, single = DType.F16, DType.BF16, DType.F32
    return [
        Case(name="scale bf16", operation=_scale(count, brain, brain, 0.5), bare=_multiplied),
        Case(name="scale f32", operation=_scale(count, single, single, 0.5), bare=_multiplied),
        Case(name="cast f32 to bf16", operation=_scale(count, single, brain, 1.0), bare=_copied),
        Case(name="cast bf16 to f16", operation=_scale(count, brain, half, 1.0), bare=_copied),
        Case(name="cast bf16 to f32", operation=_scale(count, brain, single, 1.0), bare=_copied),
        Case(name="blend of two bf16", operation=_blend(count), bare=_blended),
        Case(name="bf16 plus rank 16", operation=_addition(count, 16), bare=_added),
        Case(name="bf16 plus rank 64", operation=_addition(count, 64), bare=_added),
    ]


def _scale(count: int, source: DType, target: DType, factor: float) -> Scale:
    return Scale(
        offset=0,
        length=count * target.bits // 8,
        term=Term(source=0, source_offset=0, dtype=source),
        factor=factor,
        compute=target,
        target=target,
    )


def _blend(count: int) -> Blend:
    return Blend(
        offset=0,
        length=count * 2,
        terms=tuple(Term(source=number, source_offset=0, dtype=DType.BF16) for number in range(2)),
        weights=(0.3, 0.7),
        normalize=False,
        compute=DType.BF16,
        target=DType.BF16,
    )


def _addition(count: int, rank: int) -> AddLowRank:
    return AddLowRank(
        offset=0,
        length=count * 2,
        term=Term(source=0, source_offset=0, dtype=DType.BF16),
        a=Term(source=1, source_offset=0, dtype=DType.F32),
        b=Term(source=2, source_offset=0, dtype=DType.F32),
        rows=count // _COLUMNS,
        columns=_COLUMNS,
        rank=rank,
        scaling=2.0,
        target=DType.BF16,
    )


def _multiplied(sources: list[torch.Tensor], result: torch.Tensor) -> object:
    return torch.mul(sources[0], 0.5, out=result)


def _copied(sources: list[torch.Tensor], result: torch.Tensor) -> object:
    return result.copy_(sources[0])


def _blended(sources: list[torch.Tensor], result: torch.Tensor) -> object:
    """Blend as the engine does it, in tensors that are there already: new ones cost more."""
    total, term, rounded = _kept(len(result))
    total.zero_()
    for source, weight in zip(sources, (0.3, 0.7), strict=True):
        rounded.copy_(total.add_(term.copy_(source), alpha=weight))
        total.copy_(rounded)
    return result.copy_(rounded)


def _added(sources: list[torch.Tensor], result: torch.Tensor) -> object:
    weight, a, b = sources
    rank = len(a) // _COLUMNS
    _, _, value = _kept(len(result))
    matrix = value.copy_(weight).view(-1, _COLUMNS)
    matrix.addmm_(b.view(-1, rank), a.view(rank, _COLUMNS), alpha=2.0)
    return result.copy_(value)


@cache
def _kept(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    wide, narrow = torch.float64, torch.float32
    return torch.empty(count, dtype=wide), torch.empty(count, dtype=wide), torch.empty(count, dtype=narrow)


def _row(case: Case, work: Path, rounds: int) -> list[str]:
    """Measure one transform's four ways, in turn."""
    count = case.operation.length * 8 // case.operation.target.bits
    sources = [_random(elements, term.dtype, term.source) for term, elements in _terms(case.operation)]
    paths = [work / f"source-{number}" for number in range(len(sources))]
    for source, path in zip(sources, paths, strict=True):
        path.write_bytes(_bytes(source))
    result = torch.zeros(count, dtype=torch_dtype(case.operation.target))
    raw, blocks, workspace = [_bytes(source) for source in sources], _blocks(case.operation), Workspace()
    factors = [BytesReader(bytes(data) if number else b"") for number, data in enumerate(raw)]
    readers = [LocalReader(path) for path in paths]

    def read_first() -> None:
        for reader, source in zip(readers, sources, strict=True):
            reader.read_into(0, _bytes(source))
        case.bare(sources, result)

    ways = [
        lambda: case.bare(sources, result),
        lambda: _computed(case.operation, raw, factors, workspace),
        read_first,
        lambda: [fill_block(block, readers, workspace) for block in blocks],
    ]
    gigabytes = case.operation.length / 1e9
    bare, computed, read, filled = (seconds / gigabytes for seconds in _medians(ways, rounds))
    for reader in readers:
        reader.close()
    figures = [bare, computed, computed / bare, read, filled, filled / read]
    return [case.name, *(f"{figure:.3f}" for figure in figures)]


def _medians(ways: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Return each way's seconds of this thread on the processor; the first round only warms up."""
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for way, seconds in zip(ways, taken, strict=True):
            started = time.thread_time()
            way()
            seconds.append(time.thread_time() - started)
    return [statistics.median(seconds[1:]) for seconds in taken]


def _computed(
    operation: Elementwise, raw: list[memoryview], factors: list[BytesReader], workspace: Workspace
) -> None:
    """Do what the engine does after it has read: step after step into a block's buffer."""
    for start in range(0, operation.length, STEP_BYTES):
        step = slice_operation(operation, start, min(STEP_BYTES, operation.length - start))
        assert isinstance(step, Elementwise)
        inputs = [raw[source][offset : offset + size] for source, offset, size in term_ranges(step)]
        target = workspace.buffer[start % _BLOCK_BYTES :][: step.length]
        if isinstance(step, AddLowRank):
            workspace.low_rank.add(step, inputs[0], target, factors)
        else:
            apply_transform(step, inputs, target, workspace.scratch)


def _terms(operation: Elementwise) -> list[tuple[Term, int]]:
    """Return all that the whole operation reads, and of how many elements."""
    count = operation.length * 8 // operation.target.bits
    terms = [(term, count) for term in terms_of(operation)]
    if isinstance(operation, AddLowRank):
        terms.append((operation.a, operation.rank * operation.columns))
        terms.append((operation.b, operation.rows * operation.rank))
    return terms


def _blocks(operation: Elementwise) -> list[Block]:
    """Return the blocks, of a piece each, of a shard that holds nothing but the operation's tensor."""
    raw = encode_header([("t", operation.target, (operation.length * 8 // operation.target.bits,))], {})
    header = parse_header(raw, file_size=len(raw) + operation.length, origin="t")
    pieces = cut_pieces(header, [replace(operation, offset=len(raw))])
    return [Block(offset=piece.offset, length=piece.length, pieces=(piece,)) for piece in pieces]


def _random(count: int, dtype: DType, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).mul_(0.02).to(torch_dtype(dtype))


def _bytes(values: torch.Tensor) -> memoryview:
    return memoryview(values.view(torch.uint8).numpy())


if __name__ == "__main__":
    sys.exit(main())
