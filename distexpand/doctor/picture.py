"""What was found, for people: a mark, a name, how it is, and below it what to do."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distexpand.doctor.findings import Section, State
from distexpand.report.glyphs import UNICODE, printable

_MARKS = {State.OK: ("ok", "green"), State.ADVICE: ("note", "yellow"), State.PROBLEM: ("BAD", "red bold")}
_NAME_WIDTH = 14


def section_picture(section: Section) -> Group:
    """Return a section as it is printed."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(width=4, no_wrap=True, justify="right")
    rows.add_column(width=_NAME_WIDTH, no_wrap=True)
    rows.add_column(overflow="fold")
    for found in section.found:
        mark, style = _MARKS[found.state]
        words = Text(printable(found.words, UNICODE))
        if found.advice:
            words.append(f"\n{printable(found.advice, UNICODE)}", style="bold")
        rows.add_row(Text(mark, style=style), found.name, words)
    return Group(Text(printable(section.title, UNICODE), style="bold underline"), rows, Text(""))
