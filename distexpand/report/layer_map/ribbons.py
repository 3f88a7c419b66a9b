"""The sources of the layer map: a column per model, and a ribbon per run to its place in the output.

A ribbon ties a run, not a layer: five hundred lines would be a grey plane. A tie of one
layer is drawn when that layer is looked at, from the same ends.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from distexpand.report.layer_map.geometry import Frame, SourceColumn
from distexpand.report.layer_map.layers import LayerMap
from distexpand.report.layer_map.palette import hue_class, ribbon_class
from distexpand.report.layer_map.shapes import rect, shape, text, titled, written
from distexpand.report.layer_map.words import ranges_text
from distexpand.report.picture.runs import LayerRun, ranges

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TICK_ROOM = 13.0


def draw_columns(parent: Element, shown: LayerMap, place: Frame) -> None:
    """Draw each model's column: used layers filled, unused ones hollow, and their numbers."""
    for column in place.columns:
        model = shown.models[column.model]
        used = _used(shown, column.model)
        group = shape(parent, "g", {})
        titled(group, (f"{model.letter}: {model.name}", f"layers in use: {ranges_text(ranges(used))}"))
        outline = f"dx-track {ribbon_class(column.model)}"
        rect(group, (column.x + 0.5, column.y, column.width - 1, column.height), outline)
        for first, last in ranges(used):
            height = (last + 1 - first) * column.layer_height
            rect(group, (column.x, column.at(first), column.width, height), hue_class(column.model))
        middle = column.x + column.width / 2
        text(parent, (middle, column.y - 4), model.letter, "dx-text dx-strong", "middle")
        _ticks(parent, column)


def draw_ribbons(parent: Element, shown: LayerMap, place: Frame) -> None:
    """Draw the ribbons of all runs, those of further sources of a blend fainter."""
    group = shape(parent, "g", {"class": "dx-ribbons dx-mute"})
    for number, run in enumerate(shown.runs):
        for position, (model, first, last) in enumerate(_sources(run, shown)):
            column = place.columns[model]
            classes = ["dx-ribbon", ribbon_class(model)]
            classes += ["dx-other"] if position else []
            classes += ["dx-thin"] if run.identity else []
            path = _tie(run, column, place) if run.identity else _ribbon(run, column, place, first, last)
            shape(group, "path", {"class": " ".join(classes), "d": path, "data-run": number})


def tie_path(column: SourceColumn, source: float, place: Frame, output: float) -> str:
    """Return the line from the middle of a source layer to that of an output layer."""
    start, end = column.facing, place.entry(column)
    begin_y, end_y = column.at(source + 0.5), place.at(output + 0.5)
    return _path("M", (start, begin_y)) + _curve(start, end, begin_y, end_y)


def _tie(run: LayerRun, column: SourceColumn, place: Frame) -> str:
    middle = (len(run.origins) - 1) / 2
    return tie_path(column, (run.first + run.last) / 2, place, run.start + middle)


def _ribbon(run: LayerRun, column: SourceColumn, place: Frame, first: int, last: int) -> str:
    start, end = column.facing, place.entry(column)
    upper = (column.at(first), place.at(run.start))
    lower = (column.at(last + 1), place.at(run.stop) - place.gap)
    return (
        _path("M", (start, upper[0]))
        + _curve(start, end, *upper)
        + _path("L", (end, lower[1]))
        + _curve(end, start, lower[1], lower[0])
        + "Z"
    )


def _curve(start: float, end: float, begin_y: float, end_y: float) -> str:
    middle = (start + end) / 2
    return _path("C", (middle, begin_y), (middle, end_y), (end, end_y))


def _path(command: str, *points: tuple[float, float]) -> str:
    return command + " ".join(f"{written(float(x))} {written(float(y))}" for x, y in points)


def _sources(run: LayerRun, shown: LayerMap) -> Iterator[tuple[int, int, int]]:
    """Yield model, first and last source layer of each of a run's sources, the main one first."""
    begin, end = shown.layers[run.start].sources, shown.layers[run.stop - 1].sources
    for (model, first), (_, last) in zip(begin, end, strict=True):
        yield model, first, last


def _used(shown: LayerMap, model: int) -> list[int]:
    return sorted({layer for one in shown.layers for number, layer in one.sources if number == model})


def _ticks(parent: Element, column: SourceColumn) -> None:
    step = next((step for step in _STEPS if step * column.layer_height >= _TICK_ROOM), column.depth)
    x = column.x - 4 if column.left else column.x + column.width + 4
    for number in range(0, column.depth, step):
        y = column.at(number) + min(column.layer_height / 2, 6) + 3.5
        text(parent, (x, y), str(number), "dx-quiet", "end" if column.left else "")
