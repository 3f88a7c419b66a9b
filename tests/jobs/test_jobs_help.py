"""The options of `distexpand jobs` as a stored text, as for the other commands.

To accept a change: `UPDATE_SNAPSHOTS=1 pytest tests/jobs/test_jobs_help.py`.
"""

import os
from pathlib import Path

import click
from click.testing import CliRunner

from distexpand.cli.jobs_command import jobs_command
from distexpand.cli.main import cli

SNAPSHOT = Path(__file__).with_name("jobs_help.txt")


def test_help_is_the_stored_one() -> None:
    text = "\n".join(
        CliRunner().invoke(cli, ["jobs", name, "--help"], prog_name="distexpand", terminal_width=100).output
        for name in jobs_command.commands
    )
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert SNAPSHOT.read_text(encoding="utf-8") == text


def test_every_option_is_explained() -> None:
    for command in jobs_command.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
