"""Perplexities of several models, side by side."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distexpand.report.glyphs import UNICODE, Glyphs, printable
from distexpand.report.sizes import count_text, duration_text, number_text
from distexpand.running.evaluation import Perplexity

_HEADINGS = ("layers", "parameters", "tokens", "perplexity", "bits per byte", "time")


def perplexity_table(results: Sequence[Perplexity], glyphs: Glyphs = UNICODE) -> RenderableType:
    """Return one row per model, in the order given, and how the text was cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            Text(printable(result.model, glyphs)),
            str(result.layers),
            count_text(result.parameters),
            number_text(result.tokens),
            f"{result.perplexity:.4f}",
            f"{result.bits:.4f}",
            duration_text(result.seconds),
        )
    cuts = dict.fromkeys(
        f"windows of {result.window} tokens, one every {result.stride}" for result in results
    )
    return Group(table, Text("; ".join(cuts), style="dim"))
