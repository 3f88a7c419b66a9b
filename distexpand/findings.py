"""Findings: what a check noticed that is allowed but may not be what the user wants."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A warning by default, an error with `--strict`.

    `code` is a stable kebab-case name for the kind; `message` says what was found and
    where; `advice` what to do about it, or nothing.
    """

    code: str
    message: str
    advice: str = ""
