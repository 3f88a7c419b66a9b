"""Does memory stay flat from 135M to 1.7T parameters, and when memory is nearly all that there is?

First, the peak resident memory of copy-only runs: SmolLM2-135M's and Mistral-7B's shapes with
random values, Goliath-120b from two sources of Llama-2-70B's shape, and 525 layers made of the
315 of BigLlama-3.1-1T's shape (1.7T). The big ones are true headers over holes, with data at the
start of the first file, so that every thread's buffer is used. What a plan takes grows with its
operations: a line is fitted through the peaks, and the peak of `distexpand plan` alone is beside it.

Then the 7B expansion of `local_speed`, in a control group of little memory (page cache included)
and in one without a limit, in turns: is it slower, and what did it use at most?

It takes 36 GB of disk, 22 with `--seven-b`, and 14.5 more where that names a place for it to be made.

    python -m benchmarks.flat_memory --work DIRECTORY
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import goliath, measure
from benchmarks.limited_memory import LimitedRun, compare
from benchmarks.speed_cases import SOURCE
from distexpand.api import plan_expansion
from tests.support.sparse import write_checkpoint

DATA_BYTES = 256 * 2**20
"""Data at the start of a source of holes: several blocks for each thread."""
ONE_T_LAYERS = 315
ONE_T_SPANS = ((0, 105), (52, 157), (105, 210), (157, 262), (210, 315))
"""525 layers: BigLlama's way to overlap, over all 315 layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A recipe, and the directory of each model that it names."""

    name: str
    recipe: str
    places: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """What a plan has, and the memory at most of planning alone and of a whole run."""

    name: str
    output_bytes: int
    tensors: int
    operations: int
    planning: measure.Measured
    run: measure.Measured


def main() -> int:
    arguments = _parser().parse_args()
    with measure.work_directory(arguments.work and arguments.work.resolve()) as work:
        measure.print_heading("Flat memory", work)
        options = arguments.distexpand_options.split()
        if "peaks" in arguments.parts:
            _print_peaks([_peak(expansion, work, options) for expansion in _expansions(work, arguments)])
        if "group" in arguments.parts:
            run = LimitedRun(
                source=_seven_b(work, arguments), limit=arguments.limit * 2**20, options=tuple(options)
            )
            compare(run, work, rounds=arguments.rounds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument(
        "--seven-b", type=Path, help="the 7B source's place: used if there, else made and kept"
    )
    parser.add_argument("--layers", type=int, default=32, help="layers of the 7B source, if it is made")
    parser.add_argument("--parts", nargs="+", choices=("peaks", "group"), default=("peaks", "group"))
    parser.add_argument("--rounds", type=int, default=3, help="of runs in control groups")
    parser.add_argument("--limit", type=int, default=256, help="memory of the group, in MiB")
    parser.add_argument("--distexpand-options", default="", help="more of `distexpand run`, in one word")
    return parser


def _expansions(work: Path, arguments: argparse.Namespace) -> Iterator[Expansion]:
    """Make the sources of one expansion after the other; the next one is asked for when one is done."""
    small = write_checkpoint(work / "smollm2-135m", "smollm2-135m", fill="random")
    yield _stacked("SmolLM2-135M", small)
    shutil.rmtree(small)
    yield _stacked("Mistral-7B", _seven_b(work, arguments))
    models = goliath.sparse_sources(work)
    _fill_start(next(iter(models.values())))
    yield Expansion(name="Goliath-120b", recipe=goliath.RECIPE.read_text(), places=models)
    for source in models.values():
        shutil.rmtree(source)
    large = write_checkpoint(work / "bigllama-1t", "llama3.1-405b", num_layers=ONE_T_LAYERS)
    _fill_start(large)
    yield _mapped("BigLlama-1T to 1.7T", large, ONE_T_SPANS)
    shutil.rmtree(large)


def _seven_b(work: Path, arguments: argparse.Namespace) -> Path:
    place: Path = (arguments.seven_b or work / "mistral-7b").resolve()
    if not (place / "config.json").exists():
        _say(f"making {place}")
        write_checkpoint(place, "mistral-7b", num_layers=arguments.layers, fill="random")
    return place


def _fill_start(source: Path) -> None:
    """Put random bytes where the data of a source's first file begins."""
    first = min(source.glob("*.safetensors"))
    with first.open("r+b") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        for _ in range(0, DATA_BYTES, 2**20):
            file.write(os.urandom(2**20))


def _stacked(name: str, source: Path) -> Expansion:
    """Return an expansion by the middle third of the layers, twice."""
    layers = int(json.loads((source / "config.json").read_text())["num_hidden_layers"])
    third = layers // 3
    return _mapped(name, source, ((0, layers - third), (third, layers)))


def _mapped(name: str, source: Path, spans: Sequence[tuple[int, int]]) -> Expansion:
    text = json.dumps({"model": SOURCE, "layer_map": spans})
    return Expansion(name=name, recipe=text, places={SOURCE: source})


def _peak(expansion: Expansion, work: Path, options: Sequence[str]) -> Peak:
    _say(expansion.name)
    recipe, output = work / "recipe.yml", work / "output"
    recipe.write_text(expansion.recipe)
    models = [word for name, place in expansion.places.items() for word in ("--model", f"{name}={place}")]
    places = {name: str(place) for name, place in expansion.places.items()}
    plan = plan_expansion(expansion.recipe, origin="recipe.yml", places=places).plan
    planning = measure.run_distexpand("plan", recipe, *models)
    run = measure.run_distexpand("run", recipe, output, *models, "--quiet", *options)
    shutil.rmtree(output)
    return Peak(
        name=expansion.name,
        output_bytes=sum(shard.size for shard in plan.shards),
        tensors=sum(len(json.loads(shard.header[8:]).keys() - {"__metadata__"}) for shard in plan.shards),
        operations=sum(len(shard.operations) for shard in plan.shards),
        planning=planning,
        run=run,
    )


def _print_peaks(peaks: Sequence[Peak]) -> None:
    """Print the peaks beside the line through them, a constant and so much for each operation."""
    slope, constant = statistics.linear_regression(
        [peak.operations for peak in peaks], [peak.run.peak_bytes for peak in peaks]
    )
    rows = [
        [
            peak.name,
            measure.gigabytes(peak.output_bytes),
            f"{peak.tensors:,}",
            f"{peak.operations:,}",
            f"{peak.run.seconds:.1f}",
            measure.megabytes(peak.run.peak_bytes),
            measure.megabytes(peak.planning.peak_bytes),
            measure.megabytes(int(slope * peak.operations)),
            f"{(peak.run.peak_bytes - constant - slope * peak.operations) / 1e6:+.1f} MB",
        ]
        for peak in peaks
    ]
    headings = ["model", "output", "tensors", "operations", "s", "peak", "peak of planning alone"]
    measure.print_table([*headings, "of the peak, by operations", "off the line"], rows)
    line = f"{constant / 1e6:.1f} MB + {slope / 1e3:.2f} kB for each operation"
    print(f"The line through the peaks: {line}.\n", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
