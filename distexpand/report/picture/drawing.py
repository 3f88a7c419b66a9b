"""A drawing: lines of text whose pieces say what they mean, not how they look.

Drawn once, shown twice: the model card joins the text, a terminal also gives
each role a colour. So nothing can be said by colour alone, and the two can't
drift apart.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias


class Role(Enum):
    """What a piece of text stands for."""

    TEXT = auto()
    GUIDE = auto()
    LAYER = auto()
    REPEAT = auto()
    IDENTITY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of a line.

    For layers, `model` is the source model's position in the legend and `depth` where the
    source layer stands in it, from 0 (first) to 1 (last).
    """

    text: str
    role: Role = Role.TEXT
    model: int = 0
    depth: float = 0.0


Line: TypeAlias = tuple[Span, ...]


def text_line(text: str, role: Role = Role.TEXT) -> Line:
    """Return a line with one piece."""
    return (Span(text=text, role=role),)


def plain_text(lines: tuple[Line, ...]) -> str:
    """Return the drawing's text without roles, without trailing blanks."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines) + "\n"


def ruler(start: int, stop: int, *, step: int, per_column: int = 1) -> str:
    """Return numbers from `start` on, every `step`, each above its column of `per_column` units."""
    return labels({(number - start) // per_column: str(number) for number in range(start, stop, step)})


def labels(marks: dict[int, str]) -> str:
    """Return a line with each text at its column; a text that would touch its left neighbour is left out."""
    line = ""
    for column, mark in sorted(marks.items()):
        if not line or column > len(line):
            line = line.ljust(column) + mark
    return line
