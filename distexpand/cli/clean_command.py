"""`distexpand clean`: collect what runs left beside an output."""

from typing import TYPE_CHECKING

import click

from distexpand.cli.messages import print_json, say
from distexpand.cli.options import json_option
from distexpand.cli.places import PLACE

if TYPE_CHECKING:
    from distexpand.runner.place import Output


@click.command("clean", short_help="Remove what lost attempts left in OUT.")
@click.argument("out", type=PLACE)
@json_option
def clean_command(out: "Output", as_json: bool) -> None:
    """Remove attempts that nobody will commit, and folders of runs that are over.

    Finished shards and what a resume needs stay.
    """
    from distexpand.api import clean_output
    from distexpand.report.sizes import bytes_text, plural

    cleaned = clean_output(out)
    if as_json:
        print_json(
            {
                "output": str(out),
                "files": cleaned.files,
                "bytes": cleaned.bytes,
                "finished": cleaned.finished,
            }
        )
        return
    state = "" if cleaned.finished else "; the run is unfinished and can be resumed"
    say(f"{out}: removed {plural(cleaned.files, 'file')}, {bytes_text(cleaned.bytes)}{state}")
