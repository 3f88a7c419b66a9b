"""New parameters as regular expressions: anybody's, and those of axolotl."""

import re

import yaml

from distexpand.handoff.new_parameters import NewParameters, numbers

_AXOLOTL_DOT = re.compile(r"\.(?!\+)")
"""Axolotl takes every dot that no plus follows for the dot itself."""


def regex(new: NewParameters) -> str:
    """Return an expression that `re.match` finds in the names of all new parameters, and in no other."""
    stems = "|".join(map(re.escape, new.stems))
    by_number = rf"^(?:{stems})(?:{numbers(new.layers)})\."
    if _selects([by_number], new):
        return by_number
    return rf"^(?:{'|'.join(map(re.escape, new.names))})$"


def axolotl(new: NewParameters) -> str:
    """Return what an axolotl config says: `unfrozen_parameters`, with dots that stand for themselves."""
    patterns = [f"^{stem}({numbers(new.layers)})." for stem in new.stems]
    if not _selects([as_axolotl_reads(pattern) for pattern in patterns], new):
        patterns = [f"^{name}$" for name in new.names]
    return yaml.safe_dump({"unfrozen_parameters": patterns}, width=1000)


def as_axolotl_reads(pattern: str) -> str:
    """Return the regular expression that axolotl makes of a pattern."""
    return _AXOLOTL_DOT.sub(r"\\.", pattern)


def _selects(patterns: list[str], new: NewParameters) -> bool:
    """Whether expressions find all new parameters and no other."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def found(name: str) -> bool:
        return any(pattern.match(name) for pattern in compiled)

    return all(map(found, new.names)) and not any(map(found, new.others))
