"""What `distexpand plan` prints: figures, layer picture, shards, warnings.

Ends with the warnings, because the last lines are those that are read.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from distexpand.findings import Finding
from distexpand.planning.layout import Layout
from distexpand.planning.model import Plan
from distexpand.planning.transfer import Transfer
from distexpand.report.glyphs import ASCII, UNICODE, Glyphs, printable
from distexpand.report.picture.colours import LayerPicture
from distexpand.report.sizes import bytes_text, count_text, number_text, plural, share_text
from distexpand.report.summary import PlanSummary, ShardFigures

_WIDTH = 100
_MOST_SHARDS = 5
_SHARDS_AT_START = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """The report as something that rich prints."""

    summary: PlanSummary
    plan: Plan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the parts of the report from top to bottom."""
        del console
        glyphs = ASCII if options.ascii_only else UNICODE
        yield figures_table(self.summary, glyphs)
        yield Text()
        yield LayerPicture(layers=self.plan.layers)
        yield Text()
        yield _shards_table(self.summary.shards, glyphs)
        if self.summary.findings:
            yield Text()
            yield from findings_report(self.summary.findings, glyphs)


def plan_report(summary: PlanSummary, plan: Plan) -> PlanReport:
    """Return the report of a plan for a terminal."""
    return PlanReport(summary=summary, plan=plan)


def report_text(report: PlanReport) -> str:
    """Return the report as plain text."""
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(report)
    return captured.get()


class Figure(NamedTuple):
    """One subject's figure: its name, value and remark, and whether that stops a run."""

    name: str
    value: str
    remark: str
    bad: bool = False


def figures_table(summary: PlanSummary, glyphs: Glyphs) -> Table:
    """Return the figures, one subject per row: name, value, remark."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for figure in plan_figures(summary, glyphs):
        remark = Text(figure.remark, style="bold red") if figure.bad else figure.remark
        table.add_row(figure.name, figure.value, remark)
    return table


def plan_figures(summary: PlanSummary, glyphs: Glyphs) -> Iterator[Figure]:
    """Yield the figures of a plan, for a terminal and for a page."""
    arrow = f" {glyphs.arrow} "
    growth = _growth(summary, glyphs)
    parameters = [count_text(summary.parameters_before), count_text(summary.parameters_after)]
    yield Figure("layers", f"{summary.layers_before}{arrow}{summary.layers_after}", _layer_remark(summary))
    yield Figure("parameters", arrow.join(parameters), growth)
    yield Figure("tensors", number_text(summary.tensors), f"in {plural(len(summary.shards), 'shard')}")
    for row in _read_rows(summary.transfer):
        yield Figure(*row)
    yield Figure("write", bytes_text(summary.bytes_written), _write_remark(summary))
    yield _disk_figure(summary)
    yield Figure("memory", bytes_text(summary.expected_peak_memory), "expected peak")
    if summary.moves:
        yield Figure("I/O", printable(summary.moves, glyphs), "")


def findings_report(findings: tuple[Finding, ...], glyphs: Glyphs) -> Iterator[RenderableType]:
    """Yield the warnings: code and message, the advice below."""
    for finding in findings:
        heading = Text.assemble(
            (f"{glyphs.warning} {printable(finding.code, glyphs)}", "bold yellow"),
            f"  {printable(finding.message, glyphs)}",
        )
        yield heading
        if finding.advice:
            yield Padding(Text(printable(finding.advice, glyphs), style="dim"), (0, 0, 0, 2))


def _growth(summary: PlanSummary, glyphs: Glyphs) -> str:
    if not summary.parameters_before:
        return ""
    return f"{glyphs.times}{summary.parameters_after / summary.parameters_before:.2f}"


def _layer_remark(summary: PlanSummary) -> str:
    words = []
    if summary.layers_identity:
        words.append(plural(summary.layers_identity, "identity block"))
    if summary.layers_repeated:
        words.append(f"{summary.layers_repeated} repeated")
    if summary.layers_new:
        words.append(f"{summary.layers_new} new")
    return ", ".join(words)


def _read_rows(transfer: Transfer) -> Iterator[tuple[str, str, str]]:
    """Yield what is read, and what it takes shard by shard, where that is more."""
    planned, other = transfer.planned, transfer.other
    remark = _read_remark(transfer)
    yield "read", bytes_text(planned.together), remark
    if bytes_text(planned.apart) != bytes_text(planned.together):
        less = _less(planned.apart, other.apart, other.layout)
        words = ["shard by shard, as on a cluster", *([less] if less != remark else [])]
        yield "", bytes_text(planned.apart), "; ".join(filter(None, words))


def _read_remark(transfer: Transfer) -> str:
    planned, other = transfer.planned, transfer.other
    if planned.together == transfer.needed:
        return "each byte once"
    distinct = f"{bytes_text(transfer.needed)} of it distinct"
    if planned.layout is Layout.BY_SOURCE:
        distinct += ": some copies take more than a shard"
    return _less(planned.together, other.together, other.layout) or distinct


def _less(read: int, other: int, layout: Layout) -> str:
    """Say what the other layout reads, if that is less."""
    if other > read or bytes_text(other) == bytes_text(read):
        return ""
    return f"{bytes_text(other)} with --layout {layout.value}"


def _write_remark(summary: PlanSummary) -> str:
    parts = {
        "copied": summary.bytes_copied,
        "transformed": summary.bytes_transformed,
        "zero": summary.bytes_zero,
    }
    data = sum(parts.values())
    shown = [f"{share_text(part, data)} {name}" for name, part in parts.items() if part]
    return ", ".join(shown)


def _disk_figure(summary: PlanSummary) -> Figure:
    needed = f"{bytes_text(summary.disk_needed)} needed"
    if summary.disk_free is None:
        return Figure("disk", needed, "free space not known")
    free = f"{bytes_text(summary.disk_free)} free"
    if summary.disk_free < summary.disk_needed:
        missing = bytes_text(summary.disk_needed - summary.disk_free)
        return Figure("disk", needed, f"only {free}: {missing} too little", bad=True)
    return Figure("disk", needed, free)


def _shards_table(shards: tuple[ShardFigures, ...], glyphs: Glyphs) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    short = len(shards) <= _MOST_SHARDS
    for shard in shards if short else shards[:_SHARDS_AT_START]:
        table.add_row(*_shard_row(shard, glyphs))
    if not short:
        left_out = len(shards) - _SHARDS_AT_START - 1
        table.add_row(Text(f"{glyphs.ellipsis} {left_out} more", style="dim"), "", "")
        table.add_row(*_shard_row(shards[-1], glyphs))
    return table


def _shard_row(shard: ShardFigures, glyphs: Glyphs) -> tuple[Text, str, str]:
    return Text(printable(shard.name, glyphs)), bytes_text(shard.size), plural(shard.tensors, "tensor")
