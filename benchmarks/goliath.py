"""Goliath-120b from end to end on a small machine: planned from headers, run with its holes kept.

Makes two 70B-shaped sources (Xwin and Euryale: Llama-2-70B's true names and
shapes) whose data is a hole, plans configs/goliath-120b.yml, runs it, and
verifies the output. 236 GB of output then take next to no disk. What is shown
is the cost of planning and of everything that isn't moving bytes.

    python -m benchmarks.goliath
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measure
from tests.support.sparse import write_checkpoint

RECIPE = measure.ROOT / "configs" / "goliath-120b.yml"


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--no-verify", action="store_true", help="leave out reading the output back")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        models = sparse_sources(work)
        options = [word for name, path in models.items() for word in ("--model", f"{name}={path}")]
        plan = measure.run_distexpand("plan", RECIPE, *options)
        output = work / "goliath-120b"
        run = measure.run_distexpand("run", RECIPE, output, *options, "--quiet")
        steps = [("plan", plan), ("run", run)]
        if not arguments.no_verify:
            steps.append(("verify", measure.run_distexpand("verify", output)))
        _print(steps, list(models.values()), output, work)
    return 0


def sparse_sources(work: Path) -> dict[str, Path]:
    """Make a sparse source for each model that the recipe names."""
    names = list(dict.fromkeys(_models(yaml.safe_load(RECIPE.read_text()))))
    return {
        name: write_checkpoint(work / f"source-{position}", "llama2-70b", shard_size=10**10)
        for position, name in enumerate(names)
    }


def _models(document: dict[str, Any]) -> list[str]:
    return [source["model"] for part in document["slices"] for source in part["sources"]]


def _print(steps: list[tuple[str, measure.Measured]], sources: list[Path], output: Path, work: Path) -> None:
    measure.print_heading("Goliath-120b from sparse 70B-shaped sources", work)
    rows = [
        [
            name,
            f"{measured.seconds:.2f}",
            f"{measured.processor_seconds:.2f}",
            measure.megabytes(measured.peak_bytes),
        ]
        for name, measured in steps
    ]
    measure.print_table(["step", "s", "CPU s", "peak memory"], rows)
    sizes = [[f"source {path.name}", *_sizes(path)] for path in sources]
    measure.print_table(["directory", "apparent", "allocated"], [*sizes, ["output", *_sizes(output)]])
    config = json.loads((output / "config.json").read_text())
    print(f"The output has {config['num_hidden_layers']} layers.")


def _sizes(directory: Path) -> tuple[str, str]:
    """Return the apparent and the allocated bytes of all files, as text."""
    statuses = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return (
        measure.gigabytes(sum(status.st_size for status in statuses)),
        measure.megabytes(sum(status.st_blocks * 512 for status in statuses)),
    )


if __name__ == "__main__":
    sys.exit(main())
