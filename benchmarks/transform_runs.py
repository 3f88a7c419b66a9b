"""Whole runs with transforms beside the copy of the same source and the bare arithmetic.

A checkpoint with Mistral-7B's shapes, half of its layers by default, once in bfloat16 (copied;
multiplied by 0.5 everywhere) and once in float32 (copied; cast to bfloat16). The limit is torch
alone, on all cores, doing that arithmetic with tensors that are in memory already. Runs take
turns, from a cold cache, and the clock stops when the file system is synced.

    python -m benchmarks.transform_runs --work DIRECTORY
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from benchmarks.cold import start_cold
from benchmarks.recipes import MODEL, part, passthrough
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

_ELEMENTS = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run: what it is called, its source's dtype, its recipe, and the copy that it is compared with."""

    name: str
    dtype: str
    recipe: dict[str, Any]
    copy: str
    arithmetic: Callable[[torch.Tensor, torch.Tensor], object] | None = None


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--layers", type=int, default=16, help="of the sources")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, (arguments.layers + 2) * 27 * 10**8)
        for dtype in ("BF16", "F32"):
            shape = family("mistral-7b", num_layers=arguments.layers, dtype=dtype)
            write_checkpoint(work / dtype, shape, fill="random")
        cases = _cases(arguments.layers)
        runs: dict[str, list[measure.Measured]] = {case.name: [] for case in cases}
        for number in range(arguments.rounds):
            for case in [*cases[number % len(cases) :], *cases[: number % len(cases)]]:
                runs[case.name].append(_run(case, work))
        measure.print_heading(f"Runs with transforms, {arguments.layers} layers of the 7B shape", work)
        _print(cases, runs, family("mistral-7b", num_layers=arguments.layers).parameters)
    return 0


def _cases(layers: int) -> list[Case]:
    whole, halved = part(0, layers), part(0, layers, scale=0.5)
    plain, cast = passthrough(whole, dtype=None), passthrough(whole, dtype="bfloat16")
    scaled = passthrough(halved, dtype=None)
    return [
        Case(name="copy bf16", dtype="BF16", recipe=plain, copy="copy bf16"),
        Case(name="scale 0.5 bf16", dtype="BF16", recipe=scaled, copy="copy bf16", arithmetic=_halve),
        Case(name="copy f32", dtype="F32", recipe=plain, copy="copy f32"),
        Case(name="cast f32 to bf16", dtype="F32", recipe=cast, copy="copy f32", arithmetic=_cast),
    ]


def _run(case: Case, work: Path) -> measure.Measured:
    recipe, output = work / "recipe.json", work / "out"
    recipe.write_text(json.dumps(case.recipe))
    start_cold(output, [work / case.dtype])
    model = f"{MODEL}={work / case.dtype}"
    command = ["run", str(recipe), str(output), "--model", model, "--quiet"]
    measured = measure.run([*measure.distexpand_command(), *command], durable=work)
    if measured.code:
        sys.exit(measured.messages)
    print(f"{case.name}: {measured.seconds:.2f} s", file=sys.stderr, flush=True)
    return measured


def _halve(source: torch.Tensor, target: torch.Tensor) -> object:
    return torch.mul(source, 0.5, out=target)


def _cast(source: torch.Tensor, target: torch.Tensor) -> object:
    return target.copy_(source)


def _limit(case: Case, parameters: int) -> float:
    """Return the seconds of torch alone for a case's arithmetic over all parameters, best of five."""
    if case.arithmetic is None:
        return 0.0
    dtype = torch.bfloat16 if case.dtype == "BF16" else torch.float32
    source, target = torch.ones(_ELEMENTS, dtype=dtype), torch.ones(_ELEMENTS, dtype=torch.bfloat16)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        case.arithmetic(source, target)
        seconds.append(time.perf_counter() - started)
    return min(seconds) * parameters / _ELEMENTS


def _print(cases: list[Case], runs: dict[str, list[measure.Measured]], parameters: int) -> None:
    medians = {name: statistics.median(run.seconds for run in own) for name, own in runs.items()}
    table = []
    for case in cases:
        own, limit = runs[case.name], _limit(case, parameters)
        allowed = max(medians[case.copy], limit)
        table.append(
            [
                case.name,
                f"{medians[case.name]:.2f}",
                f"{min(run.seconds for run in own):.2f}",
                f"{max(run.seconds for run in own):.2f}",
                f"{statistics.median(run.processor_seconds for run in own):.1f}",
                measure.megabytes(max(run.peak_bytes for run in own)),
                f"{limit:.2f}",
                f"{medians[case.name] / allowed:.2f}",
            ]
        )
    headings = [
        "run",
        "s",
        "min",
        "max",
        "CPU s",
        "peak",
        "arithmetic alone, s",
        "s / the longer of copy and it",
    ]
    measure.print_table(headings, table)


if __name__ == "__main__":
    sys.exit(main())
