"""How much memory does a run take, and does it grow with the model?

Peak resident memory (`ru_maxrss` of the process) of copy-only runs of a
135M and of a 7B-shaped checkpoint, which should be the same, and of runs with
transforms: scaling, a cast, and a weighted sum of two sources. The 7B-shaped
source has Mistral-7B's true shapes and random values (14.5 GB); it needs 40 GB
of disk in all, freed at the end. `--layers 8` makes a smaller one.

    python -m benchmarks.memory --work DIRECTORY
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.recipes import MODEL, NamedRecipe, linear, stacked
from tests.support.sparse import write_checkpoint

SMALL, LARGE = "smollm2-135m", "mistral-7b"
SMALL_LAYERS = 30


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured run."""

    source: str
    recipe: str
    read_bytes: int
    written_bytes: int
    measured: measure.Measured


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--layers", type=int, default=32, help="layers of the 7B-shaped source")
    parser.add_argument("--threads", type=int, help="as `distexpand run --threads`")
    arguments = parser.parse_args()
    options = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    rows: list[Row] = []
    with measure.work_directory(arguments.work) as work:
        measure.need_free(work, 3 * 10**9 + arguments.layers * 13 * 10**8)
        for family, layers in ((SMALL, SMALL_LAYERS), (LARGE, arguments.layers)):
            source = write_checkpoint(work / MODEL, family, num_layers=layers, fill="random")
            rows += [_measure(recipe, family, source, work, options) for recipe in _recipes(layers)]
            shutil.rmtree(source)
        _print(rows, work)
    return 0


def _recipes(layers: int) -> list[NamedRecipe]:
    """Return a copy-only recipe over two thirds twice, and one recipe for each transform."""
    third = layers // 3
    halves = [(0, layers - third), (third, layers)]
    return [
        NamedRecipe(name="copy", document=stacked(halves)),
        NamedRecipe(name="scale", document=stacked([(0, layers)], scale=0.7071)),
        NamedRecipe(name="cast to f16", document=stacked([(0, layers)], dtype=None, out_dtype="float16")),
        NamedRecipe(name="linear of two", document=linear((0.3, 0.7), (MODEL, MODEL), layers)),
    ]


def _measure(recipe: NamedRecipe, family: str, source: Path, work: Path, options: list[str]) -> Row:
    print(f"{family}: {recipe.name} ...", file=sys.stderr, flush=True)
    path, output = work / "recipe.yml", work / "out"
    path.write_text(recipe.yaml())
    model = f"{MODEL}={source}"
    measured = measure.run_distexpand("run", path, output, "--model", model, "--quiet", *options)
    row = Row(
        source=family,
        recipe=recipe.name,
        read_bytes=_weights(source),
        written_bytes=_weights(output),
        measured=measured,
    )
    shutil.rmtree(output)
    return row


def _weights(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


def _print(rows: list[Row], work: Path) -> None:
    measure.print_heading("Peak memory of a run", work)
    small = {row.recipe: row.measured.peak_bytes for row in rows if row.source == SMALL}
    table = [
        [
            row.source,
            row.recipe,
            measure.gigabytes(row.read_bytes),
            measure.gigabytes(row.written_bytes),
            f"{row.measured.seconds:.1f}",
            f"{row.measured.processor_seconds:.1f}",
            measure.megabytes(row.measured.peak_bytes),
            f"{row.measured.peak_bytes / small[row.recipe]:.2f}",
        ]
        for row in rows
    ]
    headings = ["source", "recipe", "source size", "output size", "s", "CPU s", "peak", f"peak / {SMALL}"]
    measure.print_table(headings, table)


if __name__ == "__main__":
    sys.exit(main())
