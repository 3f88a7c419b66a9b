"""`distexpand doctor`: what is installed, what places can do, what is in the way."""

from dataclasses import asdict

import click

from distexpand.cli.completion import folders
from distexpand.cli.messages import print_json
from distexpand.cli.options import json_option


@click.command("doctor", short_help="Look at this machine, at PLACEs and at a cluster, and give advice.")
@click.argument("places", nargs=-1, metavar="[PLACE]...", shell_complete=folders)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Also look at a Ray cluster: its Jobs API (http://HEAD:8265) or its head (HOST:PORT, `auto`).",
)
@json_option
def doctor_command(places: tuple[str, ...], address: str | None, as_json: bool) -> None:
    """Say what is installed, what each PLACE can do and how a run would use it, with advice.

    A PLACE is a path or an address (s3://, gs://, az://, hf://, https://); the current folder if
    none is given. In folders it is tried out in files that are removed again; elsewhere nothing is
    written. The exit code is 1 where something is in the way.
    """
    from distexpand.cli.places import any_place
    from distexpand.doctor.examine import examine
    from distexpand.doctor.findings import problems

    sections = []
    for section in examine([any_place(text) for text in places], address=address):
        sections.append(section)
        if not as_json:
            _show(section)
    bad = problems(sections)
    if as_json:
        print_json({"problems": bad, "sections": [asdict(section) for section in sections]})
    if bad:
        raise SystemExit(1)


def _show(section: object) -> None:
    import sys

    from rich.console import Console

    from distexpand.doctor.findings import Section
    from distexpand.doctor.picture import section_picture

    assert isinstance(section, Section)
    if sys.stdout is not None:
        Console(file=sys.stdout).print(section_picture(section))
