"""The options, as a stored text: none changes by accident.

To accept a change: `UPDATE_SNAPSHOTS=1 pytest tests/cli/test_options.py`.
"""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from distexpand.cli.main import cli as root
from distexpand.cli.options import LAYOUTS
from distexpand.planning.layout import Layout

SNAPSHOTS = Path(__file__).with_name("snapshots")


def _help(name: str) -> str:
    arguments = [name, "--help"] if name else ["--help"]
    return CliRunner().invoke(root, arguments, prog_name="distexpand", terminal_width=100).output


@pytest.mark.parametrize("name", ["", *root.commands])
def test_help_is_the_stored_one(name: str) -> None:
    text = _help(name)
    stored = SNAPSHOTS / f"{name or 'distexpand'}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        stored.write_text(text, encoding="utf-8")
    assert stored.read_text(encoding="utf-8") == text


def test_every_layout_can_be_chosen() -> None:
    assert list(LAYOUTS) == [layout.value for layout in Layout]


def test_no_line_of_the_help_is_cut() -> None:
    text = CliRunner().invoke(root, ["--help"], prog_name="distexpand", terminal_width=80).output
    assert "..." not in text.replace("[ARGS]...", "")


def test_no_snapshot_is_left_over() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == {"distexpand", *root.commands}


@pytest.mark.parametrize("name", root.commands)
def test_every_option_is_explained(name: str) -> None:
    for parameter in root.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
