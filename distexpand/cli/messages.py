"""How results and errors reach the user: JSON on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from distexpand.errors import DistexpandError, RecipeError
from distexpand.findings import Finding


def show_error(error: DistexpandError, *, as_json: bool) -> None:
    """Say what went wrong and what to do next."""
    if as_json:
        kind = type(error).__name__
        print_json({"error": {"kind": kind, "message": error.message, "hint": error.hint}})
        return
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"  {error.hint}\n")


def print_json(document: Any) -> None:
    """Write the one JSON document of a command."""
    # ASCII: a path may hold bytes that standard output's encoding can't express.
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def refuse_findings(findings: Iterable[Finding]) -> None:
    """Turn warnings into an error (`--strict`).

    Raises:
        RecipeError: there are findings.
    """
    listed = [f"{finding.code}: {finding.message}" for finding in findings]
    if listed:
        raise RecipeError("; ".join(listed), hint="Change the recipe, or call without --strict.")
