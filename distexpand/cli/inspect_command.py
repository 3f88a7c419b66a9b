"""`distexpand inspect`: what a model is made of, from headers and config only."""

from dataclasses import asdict

import click

from distexpand.cli.completion import folders
from distexpand.cli.messages import print_json
from distexpand.cli.options import json_option


@click.command("inspect", short_help="Show the layers, sizes, dtypes and config of MODEL.")
@click.argument("model", shell_complete=folders)
@click.option(
    "--stack",
    metavar="NAME",
    default="",
    help="Look at another stack than the language model's or decoder's, such as a vision tower; "
    "a part of its tensors' names is enough.",
)
@json_option
def inspect_command(model: str, stack: str, as_json: bool) -> None:
    """Show how MODEL can be expanded.

    Its stacks of layers, the kinds of layers, what the config says of layers and what becomes of
    it, which tensors an identity block sets, and what is unusual. Headers and config are read only.
    """
    from distexpand.api import inspect_model
    from distexpand.report.inspection import inspection_text

    found = inspect_model(model, stack=stack)
    if as_json:
        print_json(asdict(found))
        return
    click.echo(inspection_text(found))
