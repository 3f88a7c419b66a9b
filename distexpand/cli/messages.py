"""How results and errors reach the user: JSON on standard output, everything else on standard error.

A standard error that is closed or full costs the messages, never the work.
"""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from distexpand.errors import DistexpandError, RecipeError
from distexpand.findings import Finding
from distexpand.report.glyphs import UNICODE, printable


def show_error(error: DistexpandError, *, as_json: bool) -> None:
    """Say what went wrong and what to do next."""
    if as_json:
        kind = type(error).__name__
        with contextlib.suppress(OSError):
            print_json({"error": {"kind": kind, "message": error.message, "hint": error.hint}})
            return
    say(f"error: {error.message}")
    if error.hint:
        say(f"  {error.hint}")


def show_findings(findings: Iterable[Finding]) -> None:
    """Say what was noticed on the way."""
    for finding in findings:
        say(f"warning: {finding.message}")
        if finding.advice:
            say(f"  {finding.advice}")


def say(text: str) -> None:
    """Write lines to standard error, if there is one; what a stranger named can't steer the terminal."""
    shown = "\n".join(printable(line, UNICODE) for line in text.split("\n"))
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{shown}\n")
            sys.stderr.flush()


def show_report(report: Any) -> None:
    """Print one of rich's renderables on standard error, if there is one."""
    from rich.console import Console

    with contextlib.suppress(OSError):
        Console(stderr=True).print(report)


def print_json(document: Any) -> None:
    """Write the one JSON document of a command.

    Raises:
        OSError: standard output is closed or full.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    # ASCII: a path may hold bytes that standard output's encoding can't express.
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    sys.stdout.flush()


def discard_output() -> None:
    """Let what standard output still holds go nowhere, so that the end of the process isn't an error."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refuse_findings(findings: Iterable[Finding]) -> None:
    """Turn warnings into an error (`--strict`).

    Raises:
        RecipeError: there are findings.
    """
    listed = [f"{finding.code}: {finding.message}" for finding in findings]
    if listed:
        raise RecipeError("; ".join(listed), hint="Change the recipe, or call without --strict.")
