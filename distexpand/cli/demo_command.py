"""`distexpand demo`: a real expansion in a minute, checked."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.places import LocalPath
from distexpand.errors import VerificationError

if TYPE_CHECKING:
    from rich.console import Console

_NAME = "SmolLM2-135M-Instruct"
_ANSWER_TOKENS = 32


@click.command("demo", short_help="Expand a real small model, verify it, and let it answer.")
@click.option(
    "--directory",
    type=LocalPath(path_type=Path, file_okay=False),
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
    from distexpand.storage.local.os_errors import storage_error

    require()
    console = Console()
    _step(console, 1, f"The model: {_NAME}, made into a bf16 safetensors checkpoint")
    source = prepare_model(directory / _NAME)
    console.print(f"  {source}")
    recipe = directory / "recipe.yml"
    try:
        recipe.write_text(RECIPE, encoding="utf-8")
    except OSError as error:
        raise storage_error("write the recipe", recipe, error) from None
    output = directory / f"{_NAME}-plus-{BLOCKS}"
    _expand(console, recipe, source, output)
    _compare(console, source, output)


def _step(console: "Console", number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")


def _expand(console: "Console", recipe: Path, source: Path, output: Path) -> None:
    from distexpand.api import plan_expansion, run_plan, summarise_plan, verify_output
    from distexpand.commit.committer import OutputMode
    from distexpand.demo.recipe import RECIPE
    from distexpand.report.plan_report import plan_report
    from distexpand.report.run_report import run_report
    from distexpand.report.watching.display import progress_display

    _step(console, 2, f"The plan of {recipe}, from headers alone")
    planned = plan_expansion(RECIPE, origin=str(recipe), places={_NAME: str(source)})
    summary = summarise_plan(planned, output=output)
    console.print(plan_report(summary, planned.plan))
    _step(console, 3, f"The run: every byte to {output}")
    started = time.monotonic()
    run_plan(planned.plan, output, mode=OutputMode.OVERWRITE, progress=progress_display(quiet=False))
    seconds, done = time.monotonic() - started, summary.bytes_written
    console.print(run_report(summary, output=str(output), seconds=seconds, bytes_done=done, peak_memory=None))
    _step(console, 4, "Verification: structure, digests, and every tensor against its source")
    report = verify_output(output, sources=True, places={_NAME: str(source)})
    if not report.ok:
        raise VerificationError(f"{output}: {report.differences[0].message}")
    console.print(
        f"  {report.tensors} tensors in {report.layers} layers: {', '.join(report.checks)} verified"
    )


def _compare(console: "Console", source: Path, output: Path) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from distexpand.demo.answer import Speaker
    from distexpand.demo.recipe import PROMPTS, TEXT

    _step(console, 5, "The proof: both models answer, token by token")
    with console.status("  loading both models"):
        original, expanded = Speaker(source), Speaker(output)
    for prompt in PROMPTS:
        console.print(f"\n  [bold]{prompt}[/bold]")
        said = []
        for name, speaker in (("original", original), ("expanded", expanded)):
            with console.status(f"  {name} answers"):
                said.append(" ".join(speaker.answer(prompt, _ANSWER_TOKENS).split()))
            console.print(Padding(Text(f"{name}  {said[-1]}"), (0, 2)))
        if said[0] != said[1]:
            raise VerificationError(f"{output}: answers otherwise than {source}")
    difference = float(abs(original.logits(TEXT) - expanded.logits(TEXT)).max())
    if difference != 0:
        raise VerificationError(f"{output}: logits differ from {source}'s by up to {difference:g}")
    console.print(
        "\n  Same answers, and logits equal bit for bit: the new blocks pass their input on unchanged"
        " until they are trained."
    )
    console.print("  Its model card is README.md in the new model's directory. To check it again:\n")
    console.print(f"    distexpand verify {output}", markup=False, highlight=False, soft_wrap=True)
