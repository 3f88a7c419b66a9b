"""`distexpand trainable`: an output's new parameters, in a trainer's own terms."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distexpand.cli.places import LocalPath
from distexpand.cli.running_options import remote_code_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from distexpand.handoff.new_parameters import NewParameters

FORMATS = ("names", "regex", "json", "llama-factory", "axolotl", "peft")


@click.command("trainable", short_help="Name the parameters of OUT's new layers, for a trainer.")
@click.argument("out", type=LocalPath(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="names",
    show_default=True,
    help="One name per line, an expression for re.match, all as JSON, or what the trainer's config says.",
)
@remote_code_option
def trainable_command(out: Path, form: str, trust_remote_code: bool) -> None:
    """Name the parameters of the layers that are new in OUT: copies of others, and identity blocks.

    They are called as transformers calls them. Everything else is the original model.
    """
    from distexpand.training import new_parameters

    click.echo(_formatter(form)(new_parameters(out, trust_remote_code=trust_remote_code)).rstrip("\n"))


def _formatter(form: str) -> "Callable[[NewParameters], str]":
    from distexpand.handoff.llama_factory import llama_factory
    from distexpand.handoff.patterns import axolotl, regex
    from distexpand.handoff.peft_settings import peft

    return {
        "names": lambda new: "\n".join(new.names),
        "regex": regex,
        "json": _json,
        "llama-factory": llama_factory,
        "axolotl": axolotl,
        "peft": peft,
    }[form]


def _json(new: "NewParameters") -> str:
    return json.dumps(
        {
            "layers": new.layers,
            "num_layers": new.num_layers,
            "trainable": new.names,
            "trainable_parameters": new.elements,
            "frozen_parameters": new.other_elements,
        },
        indent=1,
    )
