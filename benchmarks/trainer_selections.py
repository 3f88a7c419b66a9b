"""Do trainers select what `distexpand trainable` says, by their own code?

Tiny models of several classes are expanded in several ways. For each output the text of
`distexpand trainable --format X` is given to the trainer itself, which runs in an environment of its
own: name its interpreter. What it leaves trainable (or puts adapters on) is compared with the new
layers' parameters. Where LLaMA-Factory has no words for them, the table says so.

    python -m benchmarks.trainer_selections --llama-factory PYTHON --axolotl PYTHON --peft PYTHON
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from distexpand.api import plan_expansion, run_plan
from distexpand.training import new_parameters
from tests.support.tiny import tiny_checkpoint

CHILD = Path(__file__).with_name("select_in_trainer.py")
MODELS = ("llama", "llama-tied", "qwen3", "gpt2", "gpt-neox", "mixtral")
LAYERS = 12
RECIPES = {
    "4 interleaved": "{model: source, block_expansion: {blocks: 4, where: interleaved}}",
    "3 at the end": "{model: source, block_expansion: {blocks: 3, where: end}}",
    "after 0, 1 and 7": "{model: source, block_expansion: {after: [0, 1, 7]}}",
    "layers 4 to 8 twice": "{model: source, layer_map: [[0, 8], [4, 12]]}",
}
"""12 layers become 16, 15, 15 and 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question to a trainer: what it is told, or why it can't be told, and what it should select."""

    kind: str
    recipe: str
    trainer: str
    directory: str
    config: str
    refusal: str
    wanted: Sequence[str]


def main() -> int:
    arguments = _parser().parse_args()
    trainers = {
        "llama-factory": arguments.llama_factory,
        "axolotl": arguments.axolotl,
        "peft-lora": arguments.peft,
        "peft-whole": arguments.peft,
    }
    asked = {name: python for name, python in trainers.items() if python}
    if not asked:
        sys.exit("name at least one trainer's interpreter; --help says how")
    with measure.work_directory(arguments.work) as work:
        measure.print_heading("What trainers select", work)
        _print_versions(asked)
        cases = [case for output in _outputs(work, arguments.models) for case in _cases(output, asked)]
        verdicts = dict(_verdicts(cases, asked))
    rows = [
        [kind, name, *(verdicts[kind, name, trainer] for trainer in asked)]
        for kind, name in dict.fromkeys((case.kind, case.recipe) for case in cases)
    ]
    measure.print_table(["model", "new layers", *asked], rows)
    return int(any("differs" in verdict for verdict in verdicts.values()))


def _parser() -> argparse.ArgumentParser:
    parser = measure.argument_parser(__doc__ or "")
    for trainer in ("llama-factory", "axolotl", "peft"):
        parser.add_argument(f"--{trainer}", metavar="PYTHON", help=f"an interpreter that has {trainer}")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    return parser


def _print_versions(asked: Mapping[str, str]) -> None:
    wanted = ("llamafactory", "axolotl", "peft", "transformers", "torch")
    program = (
        "import sys; from importlib.metadata import version, PackageNotFoundError\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, version(name))\n"
        "    except PackageNotFoundError: pass"
    )
    for python in dict.fromkeys(asked.values()):
        done = subprocess.run([python, "-c", program, *wanted], capture_output=True, text=True, check=True)
        print(", ".join(done.stdout.splitlines()) + "\n")


def _outputs(work: Path, models: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Make every output, and yield it with the model's kind and the recipe's name."""
    for kind in models:
        source = tiny_checkpoint(work / kind, kind, num_layers=LAYERS)
        for number, (name, recipe) in enumerate(RECIPES.items()):
            output = work / f"{kind}-{number}"
            run_plan(plan_expansion(recipe, origin="recipe", places={"source": str(source)}).plan, output)
            yield kind, name, output


def _cases(output: tuple[str, str, Path], asked: Iterable[str]) -> Iterator[Case]:
    kind, name, directory = output
    print(f"{kind}: {name} ...", file=sys.stderr, flush=True)
    expected = new_parameters(directory)
    for trainer in asked:
        form = "peft" if trainer.startswith("peft") else trainer
        told = measure.run([*measure.distexpand_command(), "trainable", str(directory), "--format", form])
        yield Case(
            kind=kind,
            recipe=name,
            trainer=trainer,
            directory=str(directory),
            config=told.output,
            refusal=told.messages if told.code else "",
            wanted=expected.linear if trainer == "peft-lora" else expected.names,
        )


def _verdicts(cases: Sequence[Case], asked: Mapping[str, str]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield what each trainer selects; all cases of one trainer are one process."""
    for trainer, python in asked.items():
        mine = [case for case in cases if case.trainer == trainer and not case.refusal]
        print(f"asking {trainer} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [python, str(CHILD)],
            input=json.dumps([[trainer, case.directory, case.config] for case in mine]),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for case, selected in zip(mine, json.loads(done.stdout), strict=True):
            yield (case.kind, case.recipe, trainer), _verdict(case, selected)
    for case in cases:
        if case.refusal:
            words = "no words for it" if "no words" in case.refusal else f"differs: {case.refusal}"
            yield (case.kind, case.recipe, case.trainer), words


def _verdict(case: Case, selected: list[str] | str) -> str:
    if isinstance(selected, str):
        return f"differs: {selected}"
    if sorted(selected) == sorted(case.wanted):
        return f"the same {len(selected)}"
    return f"differs: {len(set(selected) ^ set(case.wanted))} of {len(case.wanted)}"


if __name__ == "__main__":
    sys.exit(main())
