"""Does LoRA learn more on a replicated model than on its base, at equal trainable parameters?

SmolLM2-135M learns this project's own documentation, which it can't have seen: once as it is with rank 8,
once with the middle of its layers twice (PEFT's `layer_replication`, 40 layers) with rank 6, so
that both train the same number of parameters. Same windows, same order, same optimiser, several
seeds; the loss is that on held-out windows. PEFT runs in an environment of its own: name its interpreter.

    python -m benchmarks.lora_replicated --peft PYTHON --svg docs/lora-replicated.svg
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.svg_curves import curve_plot
from distexpand.demo.model import prepare_model

CHILD = Path(__file__).with_name("lora_training.py")
TEXTS = ("README.md", "docs/design.md", "docs/cost-model.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A model that learns: its layers as PEFT replicates them, and the adapters' rank."""

    name: str
    replication: Sequence[Sequence[int]] | None
    rank: int


SIDES = (
    Side(name="base, 30 layers, rank 8", replication=None, rank=8),
    Side(name="replicated, 40 layers, rank 6", replication=((0, 20), (10, 30)), rank=6),
)


def main() -> int:
    arguments = _parser().parse_args()
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("LoRA on a replicated model and on its base", work)
        model = prepare_model(work / "smollm2")
        text = work / "text.txt"
        text.write_text("\n\n".join((measure.ROOT / name).read_text() for name in TEXTS))
        runs = {
            side.name: [_train(side, seed, model, text, arguments) for seed in range(arguments.seeds)]
            for side in SIDES
        }
    _print(runs)
    if arguments.svg:
        arguments.svg.write_text(_picture(runs))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--peft", required=True, metavar="PYTHON", help="an interpreter that has PEFT")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=2, help="windows of 128 tokens in a step")
    parser.add_argument(
        "--every", type=int, default=20, help="steps between two looks at the held-out windows"
    )
    parser.add_argument("--rate", type=float, default=5e-4, help="of learning")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--svg", type=Path, help="where to draw the curves")
    return parser


def _train(side: Side, seed: int, model: Path, text: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    print(f"{side.name}, seed {seed} ...", file=sys.stderr, flush=True)
    settings = {
        "replication": side.replication,
        "rank": side.rank,
        "seed": seed,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "every": arguments.every,
        "rate": arguments.rate,
    }
    command = [arguments.peft, str(CHILD), str(model), str(text), json.dumps(settings)]
    done = subprocess.run(command, env=measure.environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _print(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    first = next(iter(runs.values()))[0]
    print(f"{first['tokens']:,} tokens to learn from, {first['held_out']:,} held out.\n")
    rows = [
        [
            name,
            f"{seeds[0]['trainable']:,}",
            *(f"{loss:.3f}" for loss in _at(seeds, (0, 1, len(seeds[0]["curve"]) // 2, -1))),
            f"{min(loss for run in seeds for _, loss in run['curve']):.3f}",
            " ".join(f"{run['curve'][-1][1]:.3f}" for run in seeds),
            f"{statistics.mean(run['seconds'] for run in seeds):.0f}",
        ]
        for name, seeds in runs.items()
    ]
    steps = [first["curve"][place][0] for place in (1, len(first["curve"]) // 2, -1)]
    headings = ["model", "trainable", "loss at first", *(f"after {step}" for step in steps)]
    measure.print_table([*headings, "lowest", "at the end, by seed", "s"], rows)


def _at(seeds: Sequence[Mapping[str, Any]], places: Sequence[int]) -> list[float]:
    """Return the mean loss over seeds at some places of the curve."""
    return [statistics.mean(run["curve"][place][1] for run in seeds) for place in places]


def _picture(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = {
        name: [
            (float(seeds[0]["curve"][place][0]), loss)
            for place, loss in enumerate(_at(seeds, range(len(seeds[0]["curve"]))))
        ]
        for name, seeds in runs.items()
    }
    return curve_plot("LoRA at equal trainable parameters", lines, across="steps", up="loss, held out")


if __name__ == "__main__":
    sys.exit(main())
