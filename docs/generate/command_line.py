"""The command line's reference, from click's own objects.

Not the text of `--help`, which is wrapped for a terminal: tables can be searched and linked to.
Rejected: sphinx-click, whose output only the site has, not the file on a code host.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from distexpand.batch.run import TEMPFAIL
from distexpand.cli.main import cli
from distexpand.errors import DistexpandError, InterruptedRunError, UsageError, VerificationError

_HEAD = """# Command line

Written by `make reference` from the program itself; `distexpand COMMAND --help` says the same.
Options may stand before or after arguments. `RECIPE` is a file, or `-` for standard input; for `plan` and
`run` a plan that was kept with `plan --save` may stand in its place.

With `--json` there is one JSON document on standard output and nothing else there; progress and messages go
to standard error.
"""


def command_line_page() -> str:
    """Return the page."""
    parts = [_HEAD, _exit_codes(), _overview()]
    for path, command in _commands(cli, ()):
        parts.append(_section(path, command))
    return "\n".join(parts)


def _exit_codes() -> str:
    rows = {
        0: "Done.",
        DistexpandError.exit_code: "The work failed; `doctor` found something in the way.",
        UsageError.exit_code: "Wrong use, or a bad recipe.",
        VerificationError.exit_code: "Verification, or the check that the output loads, found a difference.",
        TEMPFAIL: "`batch` alone: nothing failed, but another start has some in hand.",
        InterruptedRunError.exit_code: "Interrupted; `--resume` goes on.",
    }
    return "\n".join(["## Exit codes", "", *_table(("code", "when"), rows.items())])


def _overview() -> str:
    rows = [
        (f"[`{' '.join(path)}`](#{_anchor(path)})", _cell(command.get_short_help_str(limit=200)))
        for path, command in _commands(cli, ())
    ]
    return "\n".join(["## Commands", "", *_table(("command", "does"), rows)])


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its path, each group before its own."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _anchor(path: tuple[str, ...]) -> str:
    return "-".join(("distexpand", *path))


def _section(path: tuple[str, ...], command: click.Command) -> str:
    # with the program's settings: a command keeps the help option that its first context has
    context = click.Context(command, info_name=" ".join(("distexpand", *path)), **cli.context_settings)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * (1 + len(path))} distexpand {' '.join(path)}", "", "```text", usage, "```", ""]
    lines += [_prose(command.help or ""), ""]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        rows = [(_names(option), _explained(option, context)) for option in options if not option.hidden]
        lines += _table(("option", "meaning"), rows)
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Return a help text as paragraphs of one line each; click's marks of unwrapped ones go."""
    paragraphs = inspect.cleandoc(text.replace("\b", "")).split("\n\n")
    return "\n\n".join(_escaped(" ".join(paragraph.split())) for paragraph in paragraphs)


def _names(option: click.Option) -> str:
    negative = " / " + ", ".join(option.secondary_opts) if option.secondary_opts else ""
    value = "" if option.is_flag or option.count else f" {_value(option)}"
    return f"`{', '.join(option.opts)}{negative}{value}`".replace("|", "\\|")


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return str(option.type.name).upper().replace(" RANGE", "")


def _explained(option: click.Option, context: click.Context) -> str:
    extra = option.get_help_extra(context)
    notes = []
    if "default" in extra:
        notes.append(f"default: {extra['default']}")
    if "range" in extra:
        notes.append(str(extra["range"]))
    if option.required:
        notes.append("required")
    if option.envvar:
        notes.append(f"environment: {option.envvar}")
    noted = f" ({'; '.join(notes)})" if notes else ""
    said = re.sub(r"\s*\[default: ([^\]]*)\]", r" (default: \1)", option.help or "")
    return _cell(f"{said}{noted}")


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Keep Markdown from reading marks into a plain text; what stands in backquotes stays."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_<>\[\]])", r"\\\1", part) for part in parts
    )


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]
