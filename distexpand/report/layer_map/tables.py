"""The page's tables: warnings, figures, runs, layers, shards; the picture for those who read."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from distexpand.findings import Finding
from distexpand.report.glyphs import UNICODE
from distexpand.report.layer_map.html import node, section, table
from distexpand.report.layer_map.layers import LayerMap, MapLayer
from distexpand.report.layer_map.words import layer_mark, ranges_text, run_label, run_range, run_words
from distexpand.report.plan_report import Figure
from distexpand.report.sizes import bytes_text, number_text, plural

_MOST_OPEN = 24
_BAR_WIDTH = 100


def add_warnings(parent: Element, findings: Sequence[Finding]) -> None:
    """Add what was noticed, if anything was."""
    if not findings:
        return
    part = section(parent, plural(len(findings), "warning").capitalize(), "warnings")
    listed = node(part, "ul")
    for finding in findings:
        item = node(listed, "li")
        node(item, "strong", finding.code)
        node(item, "p", finding.message)
        if finding.advice:
            node(item, "p", finding.advice, _class="quiet")


def add_figures(parent: Element, figures: Sequence[Figure]) -> None:
    """Add the plan's figures; a row without a name carries on the one before."""
    part = section(parent, "Figures", "figures")
    listed = node(part, "dl")
    for figure in figures:
        if figure.name:
            node(listed, "dt", figure.name)
        cell = node(listed, "dd")
        node(cell, "span", figure.value, _class="value")
        node(cell, "span", figure.remark, _class="bad" if figure.bad else "quiet")


def add_runs(parent: Element, shown: LayerMap) -> None:
    """Add the runs: consecutive output layers that go through a source in step."""
    part = section(parent, "Runs of layers", "runs")
    rows = [(run_range(run), run_label(run, shown), run_words(run, shown)) for run in shown.runs]
    heading = f"{plural(len(rows), 'run')} of {plural(len(shown.layers), 'output layer')}"
    table(
        _folded(part, heading, entries=len(rows)),
        "Runs of layers, first to last",
        ["output", "source", "what"],
        rows,
    )


def add_layers(parent: Element, shown: LayerMap) -> None:
    """Add a row per output layer, folded away where there are many."""
    part = section(parent, "Every layer", "layers")
    columns = ["output", "source", "mark", *(["type"] if shown.kinds else []), "transforms", "size", "shard"]
    rows = (tuple(_layer_row(layer, shown)) for layer in shown.layers)
    heading = plural(len(shown.layers), "output layer")
    table(_folded(part, heading, entries=len(shown.layers)), "Every output layer", columns, rows)


def add_shards(parent: Element, shown: LayerMap) -> None:
    """Add the shards with a bar for the size of each."""
    part = section(parent, "Shards", "shards")
    total = bytes_text(sum(shard.size for shard in shown.shards))
    inner = _folded(part, f"{plural(len(shown.shards), 'shard')}, {total}", entries=len(shown.shards))
    rows = [
        (shard.name, bytes_text(shard.size), "", number_text(shard.tensors), ranges_text(shard.layers))
        for shard in shown.shards
    ]
    made = table(inner, "Sizes of shards", ["file", "size", "", "tensors", "layers"], rows)
    largest = max((shard.size for shard in shown.shards), default=1)
    for row, shard in zip(made.findall("tbody/tr"), shown.shards, strict=True):
        _size_bar(row.findall("td")[1], shard.size / largest)


def _layer_row(layer: MapLayer, shown: LayerMap) -> Iterator[str]:
    yield str(layer.number)
    sources = [f"{shown.models[model].letter} {source}" for model, source in layer.sources]
    yield " + ".join(sources)
    yield layer_mark(layer)
    if shown.kinds:
        yield layer.kind
    yield "; ".join(layer.origin.transforms)
    yield bytes_text(layer.size)
    yield ", ".join(str(number + 1) for number in layer.shards)


def _size_bar(cell: Element, share: float) -> None:
    bar = node(cell, "svg", width=str(_BAR_WIDTH), height="8", aria_hidden="true", _class="bar")
    node(bar, "rect", width=f"{share * _BAR_WIDTH:.1f}", height="8")


def _folded(parent: Element, heading: str, *, entries: int) -> Element:
    """Return where to put a table: in the open if it is short, else to be unfolded."""
    if entries <= _MOST_OPEN:
        return parent
    folded = node(parent, "details")
    node(folded, "summary", f"{heading} {UNICODE.bullet} show the table")
    return folded
