"""The layer picture: which source layer stands where in the output.

Strip (every layer), chart (every run) and legend, as a drawing. Text for a
README's code block comes from here; `colours` shows the same drawing on
a terminal.
"""

from distexpand.planning.model import LayerOrigin
from distexpand.report.glyphs import ASCII, UNICODE, Glyphs, cell_width, printable, shorten
from distexpand.report.picture.chart import chart_lines
from distexpand.report.picture.drawing import Line, Role, Span, plain_text, text_line
from distexpand.report.picture.runs import coarse_runs, is_repeat, model_names, split_other
from distexpand.report.picture.strip import IDENTITY_MARK, kind_marks, layer_span, letter, strip_lines
from distexpand.report.sizes import plural

_LEAST_WIDTH = 60
_MOST_ROWS = 40


def layer_picture(layers: tuple[LayerOrigin, ...], *, width: int = 100, ascii_only: bool = False) -> str:
    """Return the picture as plain text, no line wider than `width` (but at least 60) columns."""
    return plain_text(draw_layers(layers, ASCII if ascii_only else UNICODE, width=width))


def draw_layers(
    layers: tuple[LayerOrigin, ...], glyphs: Glyphs, *, width: int, max_rows: int = _MOST_ROWS
) -> tuple[Line, ...]:
    """Return the picture as a drawing; of more than `max_rows` runs the chart leaves out the middle."""
    if not layers:
        return (text_line("no layers"),)
    width = max(width, _LEAST_WIDTH)
    models = model_names(layers)
    depth = source_depth(layers)
    spans = tuple(layer_span(origin, models, depth) for origin in layers)
    runs = coarse_runs(layers)
    chart = chart_lines(runs, spans, models, glyphs, depth=depth, width=width, max_rows=max_rows)
    return (
        *strip_lines(layers, runs, spans, width=width),
        *chart,
        text_line(""),
        *_legend(layers, models, glyphs, width),
    )


def source_depth(layers: tuple[LayerOrigin, ...]) -> int:
    """Return one more than the highest source layer in use."""
    blended = [split_other(other)[1] for origin in layers for other in origin.others]
    return 1 + max([*(origin.layer for origin in layers), *blended])


def _legend(
    layers: tuple[LayerOrigin, ...], models: tuple[str, ...], glyphs: Glyphs, width: int
) -> tuple[Line, ...]:
    lines = _model_entries(layers, models, glyphs, width)
    if any(map(is_repeat, layers)):
        entry = Span(text=letter(0).lower(), role=Role.REPEAT, depth=0.5)
        lines.append((entry, Span(text="  in lower case: repeats a source layer used before")))
    if any(layer.identity for layer in layers):
        entry = Span(text=IDENTITY_MARK, role=Role.IDENTITY)
        lines.append((entry, Span(text="  identity block: passes its input on unchanged")))
    for kind, mark in kind_marks(layers).items():
        name = shorten(printable(kind or "no type", glyphs), width - 10, glyphs)
        lines.append((Span(text=mark), Span(text=f"  kind {name}")))
    return tuple(lines)


def _model_entries(
    layers: tuple[LayerOrigin, ...], models: tuple[str, ...], glyphs: Glyphs, width: int
) -> list[Line]:
    counts = [sum(layer.model == model for layer in layers) for model in models]
    figures = [plural(count, "layer") if count else "blended in" for count in counts]
    room = width - max(map(len, figures)) - 5
    names = [shorten(printable(model, glyphs), room, glyphs) for model in models]
    widest = max(map(cell_width, names))
    return [
        (
            Span(text=letter(position), role=Role.LAYER, model=position, depth=0.5),
            Span(text=f"  {name}" + " " * (widest - cell_width(name))),
            Span(text=f"  {figure}", role=Role.GUIDE),
        )
        for position, (name, figure) in enumerate(zip(names, figures, strict=True))
    ]
