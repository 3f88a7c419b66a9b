"""What can be told of a shell block without running it: its form, and each command's options and files."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator

import click

from distexpand.cli.main import cli
from tests.docs.blocks import ROOT

_FILE = re.compile(r"(cluster|configs|docs)/[\w./-]+")
_EXTRAS = re.compile(r"\[([\w,]+)\]'?$")
_ENDS = {"&&", "||", "|", ";", "&", ">", ">>", "<"}


def check_shell(text: str) -> None:
    """Check a block that can't be run.

    Raises:
        AssertionError: it isn't a shell's, or names a command, an option, a target, a file or an extra
            that isn't there.
    """
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    for words in commands(text):
        match words:
            case ["distexpand", *arguments]:
                check_options(arguments)
            case ["make", *targets]:
                check_targets(targets)
            case ["pip", "install", *packages]:
                check_extras(packages)
        for word in words:
            assert not _FILE.fullmatch(word) or list(ROOT.glob(word)), f"{word}: there is no such file"


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command line, what it is joined to or written into left out."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in _ENDS:
                break
            words.append(word)
        if words:
            yield words


def check_options(arguments: list[str]) -> None:
    """Check that a command of that name takes these options."""
    command: click.Command = cli
    context = click.Context(cli, info_name="distexpand", **cli.context_settings)
    while isinstance(command, click.Group) and not arguments[0].startswith("-"):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, f"distexpand has no command {name}"
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.make_parser(context).parse_args(list(arguments))


def check_targets(words: list[str]) -> None:
    """Check that the Makefile has these targets."""
    named = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(named)


def check_extras(packages: list[str]) -> None:
    """Check that the package has the extras that are asked for."""
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in packages:
        extras = _EXTRAS.search(package)
        if extras and package.startswith((".", "distexpand")):
            assert set(extras[1].split(",")) <= offered.keys(), package
