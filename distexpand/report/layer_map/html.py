"""HTML elements for the report's page, as a tree: what strangers wrote can't become markup."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement

from distexpand.report.glyphs import UNICODE, printable


def node(parent: Element, tag: str, words: str = "", **attributes: str) -> Element:
    """Add an element; of an attribute's name a leading `_` goes and any other becomes `-`."""
    names = {name.lstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    added = SubElement(parent, tag, names)
    added.text = printable(words, UNICODE) or None
    return added


def section(parent: Element, heading: str, name: str) -> Element:
    """Add a section that its heading names."""
    added = node(parent, "section", id=name, aria_labelledby=f"{name}-heading")
    node(added, "h2", heading, id=f"{name}-heading")
    return added


def table(parent: Element, caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Element:
    """Add a table that scrolls by itself where it is too wide; the first cell of a row names the row."""
    around = node(parent, "div", _class="scroll", tabindex="0", role="region", aria_label=caption)
    added = node(around, "table")
    node(added, "caption", caption)
    heading = node(node(added, "thead"), "tr")
    for column in columns:
        node(heading, "th", column, scope="col")
    body = node(added, "tbody")
    for row in rows:
        line = node(body, "tr")
        node(line, "th", row[0], scope="row")
        for cell in row[1:]:
            node(line, "td", cell)
    return added
