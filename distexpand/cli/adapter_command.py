"""`distexpand adapter`: PEFT's adapters, both ways.

`bake` and `plan` are `run` and `plan` of a recipe that is made from the adapter, so that they have their
options and nothing of their own can go wrong.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option, model_option, parse_places, recipe_argument
from distexpand.cli.places import LocalPath
from distexpand.cli.plan_command import plan_command
from distexpand.cli.planning import WrittenRecipe, recipe_text
from distexpand.cli.run_command import run_command

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group("adapter", short_help="Merge a PEFT adapter into its model, or make a config for one.")
def adapter_command() -> None:
    """Merge a PEFT adapter into its model, or make the config for one from a recipe."""


@adapter_command.command("export", short_help="Make the LoRA config of what RECIPE replicates.")
@recipe_argument
@model_option
@click.option(
    "--rank", type=click.IntRange(1), default=16, show_default=True, help="Of every adapter matrix."
)
@click.option(
    "--alpha", type=click.FloatRange(0, min_open=True), help="Scale of the deltas.  [default: 2 * rank]"
)
@click.option("--rslora", is_flag=True, help="Divide alpha by the rank's square root, not by the rank.")
@click.option(
    "--output",
    type=LocalPath(path_type=Path, file_okay=False),
    help="Write adapter_config.json into this directory.",
)
@json_option
def export_command(
    recipe: str,
    models: tuple[str, ...],
    rank: int,
    alpha: float | None,
    rslora: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make PEFT's LoraConfig of a RECIPE that replicates layers of one model.

    Prints it as Python to paste. PEFT then trains an adapter for every copy of a layer while it holds the
    layer once; `distexpand adapter bake` makes a model of the result. If PEFT can't express the recipe, says
    why, and what it could.
    """
    from distexpand.handoff.export import export_lora, write_adapter_config
    from distexpand.handoff.lora_config import LoraChoice

    text, origin = recipe_text(recipe, refusal=("a saved plan isn't a recipe", "Export the recipe itself."))
    choice = LoraChoice(rank=rank, alpha=2.0 * rank if alpha is None else alpha, rslora=rslora)
    export = export_lora(text, origin=origin, places=parse_places(models), choice=choice)
    if output is not None:
        write_adapter_config(export, output)
    if as_json:
        print_json({"adapter_config": export.config, "python": export.python, "notes": list(export.notes)})
        return
    click.echo(export.python, nl=False)
    for note in export.notes:
        say(f"note: {note}")


_OWN_OPTIONS = (
    click.Option(
        ["--tokenizer"],
        type=click.Choice(["base", "adapter"]),
        default="base",
        show_default=True,
        help="Whose tokenizer and chat template the output gets.",
    ),
    click.Option(
        ["--out-dtype"],
        type=click.Choice(["bfloat16", "float16", "float32"]),
        help="What is stored.  [default: what the base has]",
    ),
)


def _of_adapter(command: click.Command, name: str, short_help: str, text: str) -> click.Command:
    """Return a command that does what another does with a recipe, with that of an adapter."""
    callback: Callable[..., Any] | None = command.callback
    if callback is None:
        raise AssertionError(command.name)

    def call(
        adapter: str, models: tuple[str, ...], tokenizer: str, out_dtype: str | None, **options: Any
    ) -> None:
        from distexpand.handoff.bake import baking

        places, own = parse_places(models), tokenizer == "adapter"
        made = baking(adapter, places, adapter_tokenizer=own, out_dtype=out_dtype)
        recipe = WrittenRecipe(text=made.recipe, origin=made.origin, places=made.places)
        callback(recipe=recipe, models=(), **options)

    kept = [parameter for parameter in command.params if parameter.name != "recipe"]
    arguments = [parameter for parameter in kept if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in kept if not isinstance(parameter, click.Argument)]
    return click.Command(
        name,
        params=[click.Argument(["adapter"]), *arguments, *_OWN_OPTIONS, *options],
        callback=call,
        short_help=short_help,
        help=text,
    )


adapter_command.add_command(
    _of_adapter(
        run_command,
        "bake",
        "Merge ADAPTER into its model, in OUT.",
        "Make a model of a LoRA adapter that PEFT trained and its base.\n\n"
        "ADAPTER is the directory that PEFT saved, or an address. Trained with layer_replication, every copy "
        "of a layer becomes a layer, with its own delta. The base is the one that the adapter names; "
        "--model PLACE gives another. This is `distexpand run` of a recipe that `distexpand adapter plan "
        "ADAPTER --canonical` prints.",
    )
)
adapter_command.add_command(
    _of_adapter(
        plan_command,
        "plan",
        "Show what baking ADAPTER would make.",
        "Show what baking ADAPTER would make: layers, sizes, memory, disk, problems. Reads no weight.\n\n"
        "With --canonical prints the recipe that `bake` runs, to change it, to submit it to a cluster or to "
        "run it in a batch.",
    )
)
