"""SVG elements with short numbers, and texts that can hold anything.

Built as a tree, so that names from recipes are escaped by the one who writes it and
the result is always well formed.
"""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from distexpand.report.glyphs import UNICODE, printable

Value = str | float | int


def shape(parent: Element, tag: str, attributes: Mapping[str, Value]) -> Element:
    """Add an element; numbers are rounded to a hundredth."""
    return SubElement(parent, tag, {name: written(value) for name, value in attributes.items()})


def rect(
    parent: Element, x: float, y: float, width: float, height: float, classes: str, **more: Value
) -> Element:
    """Add a rectangle; a name's `_` in `more` stands for `-`."""
    place: dict[str, Value] = {"class": classes, "x": x, "y": y, "width": width, "height": height}
    return shape(parent, "rect", place | {name.replace("_", "-"): value for name, value in more.items()})


def text(
    parent: Element, x: float, y: float, words: str, classes: str = "dx-text", anchor: str = ""
) -> Element:
    """Add a line of text whose base line is at `y`."""
    place: dict[str, Value] = {"class": classes, "x": x, "y": y}
    added = shape(parent, "text", place | ({"text-anchor": anchor} if anchor else {}))
    added.text = printable(words, UNICODE)
    return added


def titled(parent: Element, lines: str) -> None:
    """Give an element a tooltip, which is its name to a screen reader."""
    SubElement(parent, "title").text = lines


def written(value: Value) -> str:
    """Return a value as an attribute has it."""
    if isinstance(value, float):
        short = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if short == "-0" else short
    return str(value)
