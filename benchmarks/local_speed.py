"""How fast is an expansion on this machine, next to other tools, to `cp` and to what the disk can do?

Two expansions of a random checkpoint with Mistral-7B's shapes (14.5 GB):

- `expansion`: 32 to 40 layers, eight zeroed copies of the last layer at the end;
- `map`: 48 layers, [[0,16],[8,24],[16,32]].

Sides: distexpand; mergekit, plain, with --lazy-unpickle and with --async-write; LLaMA-Factory's
llama_pro script, if it is given and its output fits into memory (its blocks are spread evenly: as
many bytes in another order); `cp -r` of the source; `cp -r` of a finished output; and the limit, the
plan's bytes moved by `disk_limit` in each mode, with every use of a byte read and with each byte read
once. `distexpand-checked`, if asked for by --sides, also proves that its output loads; the others don't.

All sides of a round run one after another, each round begins with the next side, and the tables
show medians. Before each run the last output is removed, the page cache is dropped, and the
program's own files are read in again; the clock stops when the file system is synced. Nothing else
should use the disk. For the 7B shape it takes 36 GB of disk, 58 with `cp-output` or `--check`.

Figures of earlier runs are kept in `benchmarks/results`, by date.

    python -m benchmarks.local_speed --mergekit MERGEKIT/bin/mergekit-yaml --json speed.json --work DIRECTORY
"""

import argparse
import fnmatch
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import checkpoints, cold, measure, speed_results
from benchmarks.disk_work import disk_work
from benchmarks.speed_cases import CASES, SOURCE, Case, case_of
from benchmarks.speed_report import print_case
from benchmarks.speed_results import CaseResult, Run, SideResult
from benchmarks.speed_sides import Places, Side, Tools, all_sides, distexpand_command, mergekit_command
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

DEFAULT_SIDES = ("distexpand", "mergekit*", "llama-pro", "cp-*", "limit-*")
_SHAPES = ("mistral-7b", "tinyllama-1.1b")


def main() -> int:
    arguments = _parser().parse_args()
    with measure.work_directory(arguments.work and arguments.work.resolve()) as work:
        places = Places(work=work, source=_source(arguments, work))
        measure.print_heading("Local speed", work)
        print(f"Medians of {arguments.rounds} rounds. {cold.way()}\n", flush=True)
        results = []
        for name in arguments.cases:
            results.append(_run_case(name, places, arguments))
            print_case(results[-1])
            if arguments.json:
                speed_results.save(arguments.json, results)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--shape", choices=_SHAPES, default=_SHAPES[0])
    parser.add_argument("--layers", type=int, help="layers of the source, fewer than published")
    parser.add_argument("--source", type=Path, help="the source's place: used if there, else made and kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--sides", nargs="+", default=DEFAULT_SIDES, help="names or patterns of names")
    parser.add_argument("--check", action="store_true", help="first compare every tensor with mergekit's")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--distexpand-options", default="", help="more of `distexpand run`, in one word")
    parser.add_argument("--mergekit", type=Path, default=Path("mergekit-yaml"))
    parser.add_argument("--llama-pro", type=Path, help="LLaMA-Factory's scripts/llama_pro.py")
    parser.add_argument("--llama-pro-python", type=Path, default=Path(sys.executable), help="to run it with")
    parser.add_argument("--limit-threads", type=int, nargs="+", default=[4])
    return parser


def _tools(arguments: argparse.Namespace) -> Tools:
    script = arguments.llama_pro
    return Tools(
        mergekit=arguments.mergekit.absolute(),
        llama_pro=script and script.absolute(),
        llama_pro_python=arguments.llama_pro_python.absolute(),
        distexpand_options=tuple(shlex.split(arguments.distexpand_options)),
        limit_threads=tuple(arguments.limit_threads),
    )


def _source(arguments: argparse.Namespace, work: Path) -> Path:
    """Return the source, made if it isn't there, and link it to the name that the recipes call it by."""
    place: Path = (arguments.source or work / "source").resolve()
    if not (place / "config.json").exists():
        shape = family(arguments.shape, num_layers=arguments.layers)
        measure.need_free(place.parent, shape.total_bytes)
        _say(f"making {place}, {measure.gigabytes(shape.total_bytes)}")
        write_checkpoint(place, shape, fill="random")
    link = work / SOURCE
    link.parent.mkdir()
    link.symlink_to(place)
    return place


def _run_case(name: str, places: Places, arguments: argparse.Namespace) -> CaseResult:
    """Prepare a case, check it if asked to, and time its sides."""
    tools, case = _tools(arguments), case_of(name, places.source)
    places.recipe(case).write_text(case.recipe.yaml())
    sides = _selected(list(all_sides(case, places, tools)), arguments.sides)
    keep = arguments.check or any(side.name == "cp-output" for side in sides)
    measure.need_free(places.work, case.output_bytes * (2 if keep else 1) + 10**9)
    if keep:
        _say(f"{name}: an output to keep")
        _require(measure.run(distexpand_command(case, places, tools, places.kept), cwd=places.work))
    if arguments.check:
        _check(case, places, tools)
    results = _time(name, sides, places, arguments.rounds)
    shutil.rmtree(places.kept, ignore_errors=True)
    return _case_result(case, arguments.shape, places, results)


def _selected(sides: Sequence[Side], patterns: Sequence[str]) -> list[Side]:
    """Return the sides that a pattern fits; end the benchmark at a pattern that fits none."""
    for pattern in patterns:
        if not fnmatch.filter([side.name for side in sides], pattern):
            sys.exit(f"no side is called {pattern}: there are {', '.join(side.name for side in sides)}")
    return [side for side in sides if any(fnmatch.fnmatch(side.name, pattern) for pattern in patterns)]


def _check(case: Case, places: Places, tools: Tools) -> None:
    """Compare the kept output with mergekit's; end the benchmark at a difference."""
    _say(f"{case.name}: comparing with mergekit's tensors")
    _require(measure.run(mergekit_command(case, places, tools, places.output), cwd=places.work))
    differences = checkpoints.tensor_differences(places.kept, places.output)
    shutil.rmtree(places.output)
    if differences:
        sys.exit("\n".join([f"{case.name}: distexpand and mergekit differ", *differences[:20]]))
    print(f"{case.name}: every tensor equals mergekit's.\n", flush=True)


def _require(measured: measure.Measured) -> None:
    if measured.code:
        sys.exit(f"exit code {measured.code}: {measured.messages}")


def _time(name: str, sides: Sequence[Side], places: Places, rounds: int) -> tuple[SideResult, ...]:
    """Run all sides in each round, the next one first; leave a side out once it has failed."""
    runs: dict[str, list[Run]] = {side.name: [] for side in sides}
    problems = {side.name: side.missing for side in sides}
    for number in range(rounds):
        begin = number % len(sides)
        for side in [*sides[begin:], *sides[:begin]]:
            if problems[side.name]:
                continue
            measured = _run_side(side, places)
            if measured.code:
                problems[side.name] = f"exit code {measured.code}: {measured.messages.strip()[-500:]}"
            else:
                runs[side.name].append(_figures(measured, places.output))
            _say(f"{name}, round {number + 1} of {rounds}: {side.name} {measured.seconds:.2f} s")
    shutil.rmtree(places.output, ignore_errors=True)
    return tuple(
        SideResult(name=side.name, runs=tuple(runs[side.name]), problem=problems[side.name]) for side in sides
    )


def _run_side(side: Side, places: Places) -> measure.Measured:
    cold.start_cold(places.output, [places.source, places.kept])
    if side.warm:
        command = [side.python, "-c", side.warm]
        subprocess.run(command, env=measure.environment(), check=True, capture_output=True)
    return measure.run(side.command, cwd=places.work, durable=places.work)


def _figures(measured: measure.Measured, output: Path) -> Run:
    return Run(
        seconds=measured.seconds,
        processor_seconds=measured.processor_seconds,
        peak_bytes=measured.peak_bytes,
        read_bytes=measured.read_bytes,
        written_bytes=measured.written_bytes,
        output_bytes=sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
    )


def _case_result(case: Case, shape: str, places: Places, sides: tuple[SideResult, ...]) -> CaseResult:
    each, once = (disk_work(case.plan, places.output, once=once) for once in (False, True))
    return CaseResult(
        name=case.name,
        shape=shape,
        layers=(case.source_layers, len(case.plan.layers)),
        read_each_bytes=each.read_bytes,
        read_once_bytes=once.read_bytes,
        data_bytes=each.written_bytes,
        output_bytes=case.output_bytes,
        sides=sides,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
