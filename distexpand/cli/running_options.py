"""Options of commands that run models, and how their texts are read."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from distexpand.cli.options import Command
from distexpand.errors import UsageError


def text_option(*, required: bool, help: str) -> Callable[[Command], Command]:  # noqa: A002  # as click calls it
    """--text."""

    def decorated(command: Command) -> Command:
        return click.option("--text", "text_file", metavar="FILE", required=required, help=help)(command)

    return decorated


def device_option(command: Command) -> Command:
    """--device."""
    return click.option(
        "--device", default="cpu", show_default=True, help="Where layers run, as torch names it: cpu, cuda:0."
    )(command)


def remote_code_option(command: Command) -> Command:
    """--trust-remote-code."""
    return click.option("--trust-remote-code", is_flag=True, help="Run code that came with a model.")(command)


def read_text(file: str) -> str:
    """Return the text of a file; `-` is standard input.

    Raises:
        UsageError: it can't be read, is empty, or isn't UTF-8.
    """
    name = "standard input" if file == "-" else file
    if file == "-" and sys.stdin is None:
        raise UsageError(f"{name}: can't read the text: it is closed", hint="Give the text's file.")
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: can't read the text: {error.strerror}") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name}: not UTF-8 text (byte {error.start})", hint="Convert the file to UTF-8."
        ) from None
    if not text.strip():
        raise UsageError(f"{name}: holds no text", hint="Give a file with at least some words of text.")
    return text


@contextlib.contextmanager
def share_shown(label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that takes the share of the work that is done, and show it on a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), redirect_stdout=False, transient=True) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda share: progress.update(task, completed=share)
