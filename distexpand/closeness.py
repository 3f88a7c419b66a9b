"""Which of the known names a misspelt one may have been meant for, in the words that every message has."""

import difflib
from collections.abc import Iterable

_MOST_COMPARED = 2000


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean NAME?`, or nothing where no known name is like it."""
    close = closest(name, known)
    return f"Did you mean {close}?" if close else ""


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a name, or nothing; names differ in more than capitals.

    `mistral-7b` is like `mistralai/Mistral-7B-v0.1`: the last parts of paths are compared, too.
    """
    names = [candidate for candidate in dict.fromkeys(known) if candidate != name][:_MOST_COMPARED]
    spellings: dict[str, str] = {}
    for candidate in names:
        spellings.setdefault(candidate.lower(), candidate)
    for candidate in names:
        spellings.setdefault(candidate.lower().rpartition("/")[2], candidate)
    lowered = name.lower()
    for wanted in (lowered, lowered.rpartition("/")[2]):
        found = difflib.get_close_matches(wanted, spellings, n=1)
        if found:
            return spellings[found[0]]
    return ""
