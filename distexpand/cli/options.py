"""Options that several commands share, and how their texts are read."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from distexpand.cli.completion import files
from distexpand.cluster.options import DEFAULT_THREADS, MOST_THREADS
from distexpand.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_SHARD_SIZE_TEXT = "5GB"

LAYOUTS = ("layers", "by-source")


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `5GB` (decimal, as on the Hub) or `512MiB`.

    Raises:
        UsageError: the text isn't a size.
    """
    from distexpand.report.sizes import parse_bytes

    size = parse_bytes(text)
    if size is None:
        raise UsageError(f"--shard-size {text!r} is not a size", hint="Write it as 5GB or 500MB.")
    return size


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
            raise UsageError(
                f"--model {text!r}: the path isn't UTF-8, and a plan can't hold it",
                hint="Rename it, or reach it through a link with such a name.",
            )
        if name in places:
            raise UsageError(f"--model {text!r}: {name or 'the default model'} is given twice")
        places[name] = path
    return places


def _is_unicode(text: str) -> bool:
    """Whether an argument was UTF-8; Python hands other bytes over as lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def recipe_argument(command: Command) -> Command:
    """RECIPE: a file or `-`."""
    return click.argument("recipe", metavar="RECIPE", shell_complete=files)(command)


def model_option(command: Command) -> Command:
    """--model."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        metavar="[NAME=]PLACE",
        shell_complete=files,
        help="Where a model named in the recipe lies (repeatable): a path, or an address such as "
        "hf://OWNER/NAME@REVISION or s3://BUCKET/PATH; alone it gives the model of a recipe that names none. "
        "[default: a directory of the model's name, else the Hub]",
    )(command)


def shard_size_option(command: Command) -> Command:
    """--shard-size."""
    return click.option(
        "--shard-size",
        metavar="SIZE",
        help=f"Most tensor data per shard.  [default: {DEFAULT_SHARD_SIZE_TEXT}]",
    )(command)


def layout_option(command: Command) -> Command:
    """--layout."""
    return click.option(
        "--layout",
        type=click.Choice(LAYOUTS),
        help="Which tensors share a shard: neighbours in the order of layers, or what is made of the same "
        "source bytes, so that each of these is read once.  [default: layers]",
    )(command)


def threads_option(command: Command) -> Command:
    """--threads."""
    return click.option(
        "--threads",
        type=click.IntRange(1, MOST_THREADS),
        default=DEFAULT_THREADS,
        show_default=True,
        help="Blocks worked on at once.",
    )(command)


def cluster_cost_options(command: Command) -> Command:
    """--nodes, --per-node, --network, --storage: what a cluster would make of a plan."""
    for option in (
        click.option(
            "--storage",
            metavar="SPEC",
            help="What sources and output lie on: unlimited, nvme, nfs, lustre, efs, s3, gcs, azure, or "
            "read=10GB/s,write=5GB/s,requests=3500.  [default: unlimited]",
        ),
        click.option(
            "--network", metavar="RATE", help="A node's link, each way: 25Gbps, 100MB/s.  [default: 10Gbps]"
        ),
        click.option(
            "--per-node", type=click.IntRange(1, 256), help="Shards at once on one node.  [default: 2]"
        ),
        click.option(
            "--nodes",
            type=click.IntRange(1, 100_000),
            help="Predict time and bottleneck on a cluster of so many nodes.",
        ),
    ):
        command = option(command)
    return command


def load_check_options(command: Command) -> Command:
    """--check-load, --trust-remote-code."""
    for option in (
        click.option(
            "--trust-remote-code", is_flag=True, help="For the check: run code that came with the model."
        ),
        click.option(
            "--check-load/--no-check-load",
            default=None,
            envvar="DISTEXPAND_CHECK_LOAD",
            help="Prove before writing that the output loads in transformers, every layer as what it was.  "
            "[default: on for run, where transformers is installed]",
        ),
    ):
        command = option(command)
    return command


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
