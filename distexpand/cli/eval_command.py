"""`distexpand eval`: how well models predict a text, side by side."""

from dataclasses import asdict

import click

from distexpand.cli.messages import print_json
from distexpand.cli.options import json_option, model_option, parse_places, quiet_option
from distexpand.cli.running_options import (
    device_option,
    read_text,
    remote_code_option,
    share_shown,
    text_option,
)


@click.command("eval", short_help="Perplexity of models or recipes on a text, in little memory.")
@click.argument("candidates", metavar="MODEL...", nargs=-1, required=True)
@text_option(required=True, help="The text, as UTF-8; `-` is standard input.")
@click.option(
    "--window",
    type=click.IntRange(min=2),
    metavar="TOKENS",
    help="Tokens that a model sees at once.  [default: 1024, or what it takes at most]",
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="Tokens from one window to the next.  [default: half a window]",
)
@click.option(
    "--together",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="Tokens of several windows that go through a model together; its layers are read once for all of "
    "them.  [default: 4096]",
)
@device_option
@remote_code_option
@model_option
@quiet_option
@json_option
def eval_command(
    candidates: tuple[str, ...],
    text_file: str,
    window: int | None,
    stride: int | None,
    together: int | None,
    device: str,
    trust_remote_code: bool,
    models: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Compute perplexities on a text, as transformers does it, with one layer in memory at a time.

    MODEL is a checkpoint's directory, its address or its name on the Hub; or a RECIPE: then the model
    that it would make, of which nothing is written.
    """
    from distexpand.models import evaluate
    from distexpand.running.evaluation import TOGETHER, EvalOptions

    options = EvalOptions(
        window=window,
        stride=stride,
        together=together or TOGETHER,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    text, places = read_text(text_file), parse_places(models)
    results = []
    for candidate in candidates:
        with share_shown(candidate, quiet=quiet or as_json) as progress:
            results.append(evaluate(candidate, text, options, places=places, progress=progress))
    if as_json:
        print_json({"text": text_file, "models": [asdict(result) for result in results]})
        return
    from rich.console import Console

    from distexpand.report.perplexity_table import perplexity_table

    Console().print(perplexity_table(results))
