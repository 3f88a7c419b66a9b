"""A batch's status as a table for people."""

from rich.markup import escape
from rich.table import Table

from distexpand.batch.status import Entry, State, Status
from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.sizes import duration_text

_STYLES = {State.DONE: "green", State.FAILED: "red", State.RUNNING: "bold", State.INTERRUPTED: "yellow"}


def status_table(status: Status) -> Table:
    """Return one row per expansion."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("expansion", "state", "tries", "time", "what"):
        table.add_column(heading, overflow="fold")
    for entry in status.expansions:
        state = f"[{_STYLES.get(entry.state, 'default')}]{entry.state}[/]"
        seconds = duration_text(entry.seconds) if entry.seconds else ""
        name = escape(printable(entry.name, UNICODE))
        table.add_row(name, state, str(entry.tries or ""), seconds, escape(printable(_what(entry), UNICODE)))
    return table


def _what(entry: Entry) -> str:
    if entry.error is not None:
        return " / ".join(entry.error.message.splitlines())
    if entry.state in {State.RUNNING, State.ELSEWHERE} and entry.runner is not None:
        by = f"job {entry.runner.job}" if entry.runner.job else f"process {entry.runner.pid}"
        return f"{entry.doing or 'begun'}, {by} on {entry.runner.host}"
    return ", ".join(done.hook for done in entry.hooks)
