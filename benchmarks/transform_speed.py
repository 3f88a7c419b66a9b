"""Transforms against the processor's limit: the engine's steps beside bare torch on large tensors.

Bare is one call of torch (for a blend the few of its expression) on whole tensors that are
there already, writing to one that is there already: what the arithmetic costs on this
processor without memory's bounds, one NaN, and places in files. `computed` is the engine's
arithmetic on sources in memory, into block buffers. `read and computed` fills blocks from a
file that the system holds in memory; bare then reads the file whole first.

Figures are seconds of one core per GB of output, medians of rounds that take turns.

    python -m benchmarks.transform_speed
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from distexpand.engine.blocks import Block, cut_blocks
from distexpand.engine.fill import STEP_BYTES, Workspace, fill_block
from distexpand.engine.torch_library import torch_dtype
from distexpand.engine.transforms import apply_transform
from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, parse_header
from distexpand.plan.operations import Blend, Scale, Term, source_length, terms_of
from distexpand.storage.local_reader import LocalReader

_MEMORY = Path("/dev/shm")
_BLOCK_BYTES = 16 * 1024 * 1024

Bare = Callable[[list[torch.Tensor], torch.Tensor], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A transform, and the same arithmetic by torch: from whole sources into a whole result."""

    name: str
    operation: Scale | Blend
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


@cache
def _kept(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    wide, narrow = torch.float64, torch.float32
    return torch.empty(count, dtype=wide), torch.empty(count, dtype=wide), torch.empty(count, dtype=narrow)


def _row(case: Case, work: Path, rounds: int) -> list[str]:
    """Measure one transform's four ways, in turn."""
    count = case.operation.length * 8 // case.operation.target.bits
    terms = terms_of(case.operation)
    sources = [_random(count, term.dtype, term.source) for term in terms]
    paths = [work / f"source-{term.source}" for term in terms]
    for source, path in zip(sources, paths, strict=True):
        path.write_bytes(_bytes(source))
    result = torch.zeros(count, dtype=torch_dtype(case.operation.target))
    blocks, workspace = _blocks(case.operation), Workspace()
    readers = [LocalReader(path) for path in paths]

    def read_first() -> None:
        for reader, source in zip(readers, sources, strict=True):
            reader.read_into(0, _bytes(source))
        case.bare(sources, result)

    ways = [
        lambda: case.bare(sources, result),
        lambda: _computed(case.operation, sources, workspace),
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


def _computed(operation: Scale | Blend, sources: list[torch.Tensor], workspace: Workspace) -> None:
    """Do what the engine does after it has read: step after step into a block's buffer."""
    raw = [_bytes(source) for source in sources]
    for start in range(0, operation.length, STEP_BYTES):
        length = min(STEP_BYTES, operation.length - start)
        inputs = []
        for whole, term in zip(raw, terms_of(operation), strict=True):
            first, size = (source_length(term, amount, operation.target) for amount in (start, length))
            inputs.append(whole[first : first + size])
        place = start % _BLOCK_BYTES
        apply_transform(operation, inputs, workspace.buffer[place : place + length], workspace.scratch)


def _blocks(operation: Scale | Blend) -> list[Block]:
    """Return the blocks of a shard that holds nothing but the operation's tensor, its header left out."""
    raw = encode_header([("t", operation.target, (operation.length * 8 // operation.target.bits,))], {})
    header = parse_header(raw, file_size=len(raw) + operation.length, origin="t")
    placed = type(operation)(
        **{name: getattr(operation, name) for name in operation.__slots__} | {"offset": len(raw)}
    )
    return list(cut_blocks(header, [placed]))


def _random(count: int, dtype: DType, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).mul_(0.02).to(torch_dtype(dtype))


def _bytes(values: torch.Tensor) -> memoryview:
    return memoryview(values.view(torch.uint8).numpy())


if __name__ == "__main__":
    sys.exit(main())
