"""Options that several commands share, and how their texts are read."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from distexpand.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kMGT]?i?)B?\s*$", re.IGNORECASE)
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_MAX_SIZE = 10**18
DEFAULT_SHARD_SIZE_TEXT = "5GB"


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `5GB` (decimal, as on the Hub) or `512MiB`.

    Raises:
        UsageError: the text isn't a size.
    """
    match = _SIZE.match(text)
    unit = match[2].lower() if match else None
    factor = _UNITS.get(unit) if unit is not None else None
    size = float(match[1]) * factor if match is not None and factor is not None else 0.0
    if not 1 <= size <= _MAX_SIZE:
        raise UsageError(f"--shard-size {text!r} is not a size", hint="Write it as 5GB or 500MB.")
    return int(size)


def parse_places(models: tuple[str, ...]) -> dict[str, str]:
    """Return path by model name of the `--model` options.

    Raises:
        UsageError: an option is malformed or given twice.
    """
    from distexpand.intake.locate import parse_assignment

    places: dict[str, str] = {}
    for text in models:
        name, path = parse_assignment(text)
        if not _is_unicode(text):
            raise UsageError(f"--model {text!r}: the path isn't UTF-8, and a plan can't hold it")
        if name in places:
            raise UsageError(f"--model {text!r}: {name or 'the default model'} is given twice")
        places[name] = path
    return places


def _is_unicode(text: str) -> bool:
    """Whether an argument was UTF-8; Python hands other bytes over as lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def recipe_argument(command: Command) -> Command:
    """RECIPE: a file or `-`."""
    return click.argument("recipe", metavar="RECIPE")(command)


def model_option(command: Command) -> Command:
    """--model."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        metavar="[NAME=]PATH",
        help="Where a model named in the recipe lies (repeatable); a bare path gives "
        "the model of a recipe that names none.",
    )(command)


def shard_size_option(command: Command) -> Command:
    """--shard-size."""
    return click.option(
        "--shard-size",
        metavar="SIZE",
        help=f"Most tensor data per shard.  [default: {DEFAULT_SHARD_SIZE_TEXT}]",
    )(command)


def threads_option(command: Command) -> Command:
    """--threads."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 256),
        default=4,
        show_default=True,
        help="Blocks worked on at once.",
    )(command)


def json_option(command: Command) -> Command:
    """--json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else there."
    )(command)


def strict_option(command: Command) -> Command:
    """--strict."""
    return click.option("--strict", is_flag=True, help="Treat warnings as errors.")(command)


def quiet_option(command: Command) -> Command:
    """--quiet."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress and no summary.")(command)
