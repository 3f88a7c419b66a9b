"""The layer map's legend: models above it; marks, layer types and transforms below it."""

import textwrap
from xml.etree.ElementTree import Element

from distexpand.report.glyphs import UNICODE, shorten
from distexpand.report.layer_map.column import kind_bar
from distexpand.report.layer_map.geometry import ROW, WIDTH
from distexpand.report.layer_map.layers import LayerMap
from distexpand.report.layer_map.palette import hue_class, ribbon_class
from distexpand.report.layer_map.shapes import rect, text
from distexpand.report.sizes import plural

_SWATCH = (12.0, 10.0)
_NAME_X = 42.0
_MOST_LETTERS = 42
_LINE_LETTERS = 58
_MOST_NOTES = 12


def draw_models(parent: Element, shown: LayerMap, y: float) -> float:
    """Draw a row per model: letter, name, number of layers; return where the rows end."""
    for number, model in enumerate(shown.models):
        base = y + ROW * number + 11
        rect(parent, (8.0, base - 9, *_SWATCH), hue_class(number), rx=2)
        text(parent, (26.0, base), model.letter, "dx-text dx-strong")
        text(parent, (_NAME_X, base), shorten(model.name, _MOST_LETTERS, UNICODE))
        figure = plural(model.layers, "layer") if model.layers else "blended in"
        text(parent, (WIDTH - 8, base), figure, "dx-quiet", "end")
    return y + ROW * len(shown.models)


def draw_marks(parent: Element, shown: LayerMap, y: float) -> float:
    """Draw what marks mean, as far as there are any; return where the rows end."""
    if any(layer.repeated for layer in shown.layers):
        rect(parent, (8.0, y + 2, *_SWATCH), hue_class(0))
        rect(parent, (8.0, y + 2, *_SWATCH), "dx-mute", fill="url(#dx-hatch)")
        y = _entry(parent, "hatched: repeats a source layer used before", y)
    if any(layer.origin.identity for layer in shown.layers):
        rect(parent, (8.5, y + 2.5, _SWATCH[0] - 1, _SWATCH[1] - 1), f"{ribbon_class(0)} dx-identity")
        y = _entry(parent, "hollow: identity block, passes its input on unchanged", y)
    for number, kind in enumerate(shown.kinds):
        kind_bar(parent, number, 9.5, y + 2, _SWATCH[1])
        bar = "bar at its right" if number else "no bar"
        y = _entry(parent, f"{bar}: {shorten(kind or 'no type', _MOST_LETTERS, UNICODE)}", y)
    return _draw_notes(parent, shown, y)


def _draw_notes(parent: Element, shown: LayerMap, y: float) -> float:
    notes = [f"[{number}] {'; '.join(words)}" for words, number in shown.notes.items()]
    if len(notes) > _MOST_NOTES:
        left_out = len(notes) - _MOST_NOTES + 1
        notes = [*notes[: _MOST_NOTES - 1], f"{UNICODE.ellipsis} and {left_out} more"]
    for note in notes:
        for position, line in enumerate(textwrap.wrap(note, _LINE_LETTERS)):
            text(parent, (26.0 if position else 8.0, y + 11), line)
            y += ROW - 2
    return y


def _entry(parent: Element, words: str, y: float) -> float:
    text(parent, (26.0, y + 11), words)
    return y + ROW
