"""Does distexpand make what mergekit makes? Every tensor, bit for bit, on a real model.

Runs both tools on the same YAML over SmolLM2-135M and a noisy copy of it: the
recipes of `recipes.py` (block expansion at the end and interleaved, stacking,
two sources, scales as number, filters and gradients, linear merges, dtypes).
-0.0 counts as 0, because mergekit zeroes by multiplication. Each output of
distexpand also has to load in transformers without a missing, unexpected or
mismatched key, and identity expansions have to give the original's logits,
bit for bit. Exit code 1 on any difference.

    python -m benchmarks.compare_mergekit --mergekit MERGEKIT/bin/mergekit-yaml

mergekit lives in an environment of its own: python -m venv MERGEKIT &&
MERGEKIT/bin/pip install mergekit==0.1.5
"""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import checkpoints, measure
from benchmarks.recipes import MODEL, OTHER, NamedRecipe, comparison_recipes
from benchmarks.sources import noisy_source, real_source


@dataclass(kw_only=True)
class Outcome:
    """What both tools did with one recipe."""

    recipe: NamedRecipe
    ours: measure.Measured
    theirs: measure.Measured
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def main() -> int:
    parser = measure.argument_parser(__doc__ or "")
    parser.add_argument("--mergekit", type=Path, required=True, help="path of mergekit-yaml")
    parser.add_argument("--only", nargs="*", help="names of recipes to run")
    arguments = parser.parse_args()
    with measure.work_directory(arguments.work) as work:
        real_source(work)
        noisy_source(work, work / MODEL)
        measure.print_heading("distexpand and mergekit on SmolLM2-135M", work)
        outcomes = [
            compare(recipe, work, arguments.mergekit.absolute())
            for recipe in comparison_recipes()
            if not arguments.only or recipe.name in arguments.only
        ]
    print_outcomes(outcomes)
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def compare(recipe: NamedRecipe, work: Path, mergekit: Path) -> Outcome:
    """Run both tools on a recipe and compare what they made."""
    print(f"{recipe.name} ...", file=sys.stderr, flush=True)
    path, ours, theirs = work / f"{recipe.name}.yml", work / "ours", work / "theirs"
    path.write_text(recipe.yaml())
    models = [f"{name}={work / name}" for name in (MODEL, OTHER) if name in recipe.yaml()]
    options = [word for model in models for word in ("--model", model)]
    command = [*measure.distexpand_command(), "run", str(path), str(ours), *options]
    outcome = Outcome(
        recipe=recipe,
        ours=measure.run(command),
        theirs=measure.run([str(mergekit), "--quiet", str(path), str(theirs)], cwd=work),
    )
    if outcome.ours.code:
        outcome.problems.append(f"distexpand failed: {outcome.ours.messages.strip()[-300:]}")
    elif outcome.theirs.code:
        outcome.remarks.append(f"mergekit failed: {outcome.theirs.messages.strip()[-300:]}")
    if not outcome.ours.code:
        _check(outcome, ours, theirs, work / MODEL)
    for directory in (ours, theirs):
        shutil.rmtree(directory, ignore_errors=True)
    return outcome


def _check(outcome: Outcome, ours: Path, theirs: Path, original: Path) -> None:
    if not outcome.theirs.code:
        outcome.problems += checkpoints.tensor_differences(ours, theirs)
        outcome.remarks += [
            f"config {line} (ours against mergekit's)"
            for line in checkpoints.config_differences(ours, theirs)
        ]
        outcome.remarks += [f"mergekit's loads with {line}" for line in checkpoints.loading_problems(theirs)]
    outcome.problems += checkpoints.loading_problems(ours)
    if outcome.recipe.identity:
        outcome.problems += [
            f"logits differ after {text!r}" for text in checkpoints.logit_differences(ours, original)
        ]


def print_outcomes(outcomes: list[Outcome]) -> None:
    headings = ["recipe", "result", "distexpand s", "peak MB", "mergekit s", "peak MB"]
    rows = [
        [
            outcome.recipe.name,
            _verdict(outcome),
            f"{outcome.ours.seconds:.1f}",
            f"{outcome.ours.peak_bytes / 1e6:.0f}",
            f"{outcome.theirs.seconds:.1f}",
            f"{outcome.theirs.peak_bytes / 1e6:.0f}",
        ]
        for outcome in outcomes
    ]
    measure.print_table(headings, rows)
    for outcome in outcomes:
        for line in outcome.problems[:5]:
            print(f"- DIFFERENCE {outcome.recipe.name}: {line}")
        if len(outcome.problems) > 5:
            print(f"- DIFFERENCE {outcome.recipe.name}: and {len(outcome.problems) - 5} more")
    _print_remarks(outcomes)


def _verdict(outcome: Outcome) -> str:
    if outcome.problems:
        return "DIFFERENT"
    tensors = "mergekit failed" if outcome.theirs.code else "tensors equal"
    return f"{tensors}, loads" + (", logits equal" if outcome.recipe.identity else "")


def _print_remarks(outcomes: list[Outcome]) -> None:
    """Print each remark once, with the recipes that it is about."""
    remarks: dict[str, list[str]] = {}
    for outcome in outcomes:
        for line in outcome.remarks:
            remarks.setdefault(line, []).append(outcome.recipe.name)
    for line, names in remarks.items():
        print(f"- remark: {line}: {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
