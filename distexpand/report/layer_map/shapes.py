"""SVG elements with short numbers, and texts that can hold anything.

Built as a tree, so that names from recipes are escaped by the one who writes it and
the result is always well formed.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias
from xml.etree.ElementTree import Element, SubElement

from distexpand.report.glyphs import UNICODE, printable

Value: TypeAlias = str | float | int
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, width, height."""


def shape(parent: Element, tag: str, attributes: Mapping[str, Value]) -> Element:
    """Add an element; numbers are rounded to a hundredth."""
    return SubElement(parent, tag, {name: written(value) for name, value in attributes.items()})


def rect(parent: Element, box: Box, classes: str, **more: Value) -> Element:
    """Add a rectangle; a name's `_` in `more` stands for `-`."""
    place: dict[str, Value] = dict(zip(("x", "y", "width", "height"), box, strict=True))
    others = {name.replace("_", "-"): value for name, value in more.items()}
    return shape(parent, "rect", {"class": classes} | place | others)


def text(
    parent: Element, place: tuple[float, float], words: str, classes: str = "dx-text", anchor: str = ""
) -> Element:
    """Add a line of text whose base line begins at `place`."""
    attributes: dict[str, Value] = {"class": classes, "x": place[0], "y": place[1]}
    added = shape(parent, "text", attributes | ({"text-anchor": anchor} if anchor else {}))
    added.text = printable(words, UNICODE)
    return added


def titled(parent: Element, lines: Iterable[str]) -> None:
    """Give an element a tooltip of some lines, which is its name to a screen reader."""
    shown = "\n".join(printable(line, UNICODE) for line in lines)
    SubElement(parent, "title").text = shown


def written(value: Value) -> str:
    """Return a value as an attribute has it."""
    if isinstance(value, float):
        short = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if short == "-0" else short
    return str(value)
