"""What `distexpand run` prints when it is done: what was made, how fast, in how much memory."""

from rich.table import Table
from rich.text import Text

from distexpand.report.glyphs import UNICODE, Glyphs, printable
from distexpand.report.sizes import bytes_text, count_text, duration_text, plural, rate_text
from distexpand.report.summary import PlanSummary


def run_report(
    summary: PlanSummary,
    *,
    output: str,
    seconds: float,
    bytes_done: int,
    peak_memory: int | None,
    glyphs: Glyphs = UNICODE,
) -> Table:
    """Return the figures of a finished run.

    `bytes_done` is what this run wrote itself: less than the whole if it resumed another.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("output", Text(printable(output, glyphs)))
    table.add_row("model", f"{plural(summary.layers_after, 'layer')}, {_parameters(summary)}")
    table.add_row(
        "written", f"{bytes_text(bytes_done)} in {duration_text(seconds)}{_rate(bytes_done, seconds)}"
    )
    if bytes_done < summary.bytes_written:
        kept = bytes_text(summary.bytes_written - bytes_done)
        table.add_row("kept", f"{kept} of {bytes_text(summary.bytes_written)}, from the run before")
    if peak_memory is not None:
        table.add_row("memory", f"{bytes_text(peak_memory)} at most")
    return table


def _parameters(summary: PlanSummary) -> str:
    return f"{count_text(summary.parameters_after)} parameters"


def _rate(bytes_done: int, seconds: float) -> str:
    return f" ({rate_text(bytes_done / seconds)})" if seconds > 0 else ""
