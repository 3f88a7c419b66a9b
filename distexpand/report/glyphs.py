"""The few characters outside ASCII that reports use, and what stands for them.

A stream that can't encode them gets the ASCII set, so that nothing is lost
and no report dies of a `UnicodeEncodeError`.
"""

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """One set of characters; each stands for the same thing in either set."""

    dash: str
    times: str
    ellipsis: str
    guide: str
    arrow: str
    bullet: str
    warning: str
    ascii_only: bool


UNICODE = Glyphs(
    dash="\N{EN DASH}",
    times="\N{MULTIPLICATION SIGN}",
    ellipsis="\N{HORIZONTAL ELLIPSIS}",
    guide="\N{MIDDLE DOT}",
    arrow="\N{RIGHTWARDS ARROW}",
    bullet="\N{MIDDLE DOT}",
    warning="!",
    ascii_only=False,
)
ASCII = Glyphs(
    dash="-", times="x", ellipsis="...", guide=".", arrow="->", bullet="-", warning="!", ascii_only=True
)


def printable(text: str, glyphs: Glyphs) -> str:
    """Return one line of text that can't move the cursor, colour the screen or fail to encode.

    Names come from recipes and checkpoints, which strangers write.
    """
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line.encode("ascii", "replace").decode("ascii") if glyphs.ascii_only else line


def cell_width(text: str) -> int:
    """Return how many columns of a monospace screen the text takes."""
    return sum(_columns(character) for character in text)


def shorten(text: str, width: int, glyphs: Glyphs) -> str:
    """Return the text in at most `width` columns, its middle left out if it is longer.

    The ends of a model's name tell more than its middle.
    """
    if cell_width(text) <= width:
        return text
    room = width - len(glyphs.ellipsis)
    if room <= 0:
        return glyphs.ellipsis[: max(width, 0)]
    tail = _prefix(text[::-1], room // 2)[::-1]
    return _prefix(text, room - cell_width(tail)) + glyphs.ellipsis + tail


def _columns(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _prefix(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:position]
    return text
