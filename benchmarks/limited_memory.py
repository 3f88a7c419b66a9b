"""The 7B expansion of `local_speed` in a control group of little memory, and in one without a limit.

A part of `flat_memory`.
"""

import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cold, measure
from benchmarks.memory_group import NoGroupsError, memory_group
from benchmarks.speed_cases import SOURCE, case_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedRun:
    """What is run: the source, the limit in bytes, and further options of `distexpand run`."""

    source: Path
    limit: int
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRun:
    """A run in a control group, and what the group used at most."""

    measured: measure.Measured
    peak_bytes: int
    file_bytes: int
    times_at_limit: int


def compare(run: LimitedRun, work: Path, *, rounds: int) -> None:
    """Print the same expansion with and without a limit on memory, or why that can't be had."""
    case = case_of("expansion", run.source)
    (work / "recipe.yml").write_text(case.recipe.yaml())
    measure.need_free(work, case.output_bytes)
    bounds = {f"{run.limit / 2**20:.0f} MiB": run.limit, "no limit": None}
    groups: dict[str, list[GroupRun]] = {name: [] for name in bounds}
    try:
        for number in range(rounds):
            for name in bounds if number % 2 == 0 else reversed(bounds):
                groups[name].append(_run_in_group(run, bounds[name], work))
                seconds = groups[name][-1].measured.seconds
                print(f"round {number + 1}: {name} {seconds:.2f} s", file=sys.stderr, flush=True)
    except NoGroupsError as error:
        print(f"No runs with limited memory: {error}.\n", flush=True)
        return
    size = measure.gigabytes(case.output_bytes)
    print(f"The expansion to {len(case.plan.layers)} layers, {size}, {rounds} times each, in turns.")
    print(f"{cold.way()}\n")
    _print(groups)


def _run_in_group(run: LimitedRun, limit: int | None, work: Path) -> GroupRun:
    output = work / "output"
    cold.start_cold(output, [run.source])
    model = f"{SOURCE}={run.source}"
    command = [*measure.distexpand_command(), "run", str(work / "recipe.yml"), str(output), "--model", model]
    with memory_group(limit) as group:
        with group.watched():
            measured = measure.run(group.command([*command, "--quiet", *run.options]), durable=work)
        if measured.code:
            sys.exit(f"exit code {measured.code} with {limit} bytes of memory: {measured.messages}")
        figures = GroupRun(
            measured=measured,
            peak_bytes=group.peak_bytes,
            file_bytes=group.most_file_bytes,
            times_at_limit=group.times_at_limit,
        )
    shutil.rmtree(output)
    return figures


def _print(groups: Mapping[str, Sequence[GroupRun]]) -> None:
    headings = ["memory", "s", "min", "max", "CPU s", "peak of the process", "peak of the group"]
    rows = [[name, *_cells(runs)] for name, runs in groups.items()]
    measure.print_table([*headings, "page cache at most", "times at the limit"], rows)
    limited, free = (statistics.median(run.measured.seconds for run in runs) for runs in groups.values())
    print(f"Seconds with the limit against without: {limited / free:.2f}.\n", flush=True)


def _cells(runs: Sequence[GroupRun]) -> list[str]:
    """Return medians of times and the most of memory."""
    seconds = [run.measured.seconds for run in runs]
    processor = statistics.median(run.measured.processor_seconds for run in runs)
    return [
        *(f"{figure:.2f}" for figure in (statistics.median(seconds), min(seconds), max(seconds), processor)),
        measure.megabytes(max(run.measured.peak_bytes for run in runs)),
        measure.megabytes(max(run.peak_bytes for run in runs)),
        measure.megabytes(max(run.file_bytes for run in runs)),
        str(max(run.times_at_limit for run in runs)),
    ]
