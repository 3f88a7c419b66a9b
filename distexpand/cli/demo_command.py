"""`distexpand demo`: a real expansion in a minute, checked."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.errors import VerificationError

if TYPE_CHECKING:
    from rich.console import Console

_NAME = "SmolLM2-135M-Instruct"


@click.command("demo")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("distexpand-demo"),
    show_default=True,
    help="Where the model, the recipe and the expanded model are kept (about 600 MB).",
)
def demo_command(directory: Path) -> None:
    """Expand a real small language model, verify it, and show that it answers as before."""
    from rich.console import Console

    from distexpand.demo.model import prepare_model
    from distexpand.demo.packages import require
    from distexpand.demo.recipe import BLOCKS, RECIPE

    require()
    console = Console()
    _step(console, 1, f"The model: {_NAME}, made into a bf16 safetensors checkpoint")
    source = prepare_model(directory / _NAME)
    console.print(f"  {source}")
    recipe = directory / "recipe.yml"
    recipe.write_text(RECIPE, encoding="utf-8")
    output = directory / f"{_NAME}-plus-{BLOCKS}"
    _expand(console, recipe, source, output)
    _compare(console, source, output)


def _step(console: "Console", number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")


def _expand(console: "Console", recipe: Path, source: Path, output: Path) -> None:
    from distexpand.api import plan_expansion, run_plan, summarise_plan, verify_output
    from distexpand.commit.committer import OutputMode
    from distexpand.report.plan_report import plan_report
    from distexpand.report.progress import progress_display

    _step(console, 2, f"The plan of {recipe}, from headers alone")
    text = recipe.read_text(encoding="utf-8")
    planned = plan_expansion(text, origin=str(recipe), places={_NAME: str(source)})
    console.print(plan_report(summarise_plan(planned, output=output), planned.plan))
    _step(console, 3, f"The run: every byte to {output}")
    run_plan(planned.plan, output, mode=OutputMode.OVERWRITE, progress=progress_display(quiet=False))
    _step(console, 4, "Verification: structure, digests, and every tensor against its source")
    report = verify_output(output, sources=True, places={_NAME: str(source)})
    if not report.ok:
        raise VerificationError(f"{output}: {report.differences[0].message}")
    console.print(
        f"  {report.tensors} tensors in {report.layers} layers: {', '.join(report.checks)} verified"
    )


def _compare(console: "Console", source: Path, output: Path) -> None:
    from distexpand.demo.answer import answers, logits
    from distexpand.demo.recipe import PROMPTS, TEXT

    _step(console, 5, "The proof: both models answer, token by token")
    before, after = answers(source, PROMPTS, 40), answers(output, PROMPTS, 40)
    for prompt, left, right in zip(PROMPTS, before, after, strict=True):
        console.print(f"\n  [bold]{prompt}[/bold]")
        console.print(f"  original  {' '.join(left.split())}", markup=False, highlight=False)
        console.print(f"  expanded  {' '.join(right.split())}", markup=False, highlight=False)
    difference = float(abs(logits(source, TEXT) - logits(output, TEXT)).max())
    if before != after or difference != 0:
        raise VerificationError(f"{output}: answers differ, logits by up to {difference:g}")
    console.print(
        "\n  Same answers, and logits equal bit for bit: the new blocks pass their input on unchanged"
        " until they are trained."
    )
