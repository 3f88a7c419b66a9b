"""The options of `distexpand adapter`: those of `run` and `plan`, and a few of its own.

To accept a change: `UPDATE_SNAPSHOTS=1 pytest tests/cli/test_adapter_help.py`.
"""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from distexpand.cli.adapter_command import adapter_command
from distexpand.cli.main import cli
from distexpand.cli.plan_command import plan_command
from distexpand.cli.run_command import run_command

SNAPSHOT = Path(__file__).with_name("adapter_export_help.txt")
OWN = ["adapter", "tokenizer", "out_dtype"]


def test_help_of_export_is_the_stored_one() -> None:
    arguments = ["adapter", "export", "--help"]
    text = CliRunner().invoke(cli, arguments, prog_name="distexpand", terminal_width=100).output
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert SNAPSHOT.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("name", "same"), [("bake", run_command), ("plan", plan_command)])
def test_the_others_have_the_options_of_the_commands_that_they_are(name: str, same: click.Command) -> None:
    own = [parameter.name for parameter in adapter_command.commands[name].params]
    assert sorted(own, key=str) == sorted(
        [*OWN, *(p.name for p in same.params if p.name != "recipe")], key=str
    )
    assert own[0] == "adapter"


def test_every_option_is_explained() -> None:
    for command in adapter_command.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
