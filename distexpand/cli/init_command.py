"""`distexpand init`: a recipe to start from."""

from pathlib import Path

import click

from distexpand.cli.messages import say
from distexpand.cli.places import LocalPath


@click.command("init", short_help="Write a recipe: one that takes OUT's expansion back.")
@click.option(
    "--undo",
    type=LocalPath(path_type=Path, file_okay=False),
    metavar="OUT",
    required=True,
    help="An output of `distexpand run`: the recipe keeps its original layers in their order and leaves out "
    "the new ones.",
)
def init_command(undo: Path) -> None:
    """Print a recipe on standard output.

    With --undo, run it on OUT, or on what training made of it, to have the original model back.
    """
    from distexpand.training import undoing_recipe

    click.echo(undoing_recipe(undo), nl=False)
    name = undo.resolve().name
    say(f"To run it: distexpand run RECIPE ORIGINAL --model {name}=TRAINED, with {undo} or its trained copy")
