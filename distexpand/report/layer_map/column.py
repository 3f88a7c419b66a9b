"""The output's column of the layer map: a block per layer, marks, labels and numbers.

Labels stand inside a run's block and numbers on the side that its ribbon doesn't come
from, so that neither covers anything; those without room are left out, since every
layer says the same when it is pointed at.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

from distexpand.report.layer_map.geometry import BOX_HEIGHT, LABEL_HEIGHT, Frame
from distexpand.report.layer_map.layers import LayerMap, MapLayer
from distexpand.report.layer_map.palette import hue_class, ribbon_class
from distexpand.report.layer_map.ribbons import tie_path
from distexpand.report.layer_map.shapes import Value, rect, shape, text, titled
from distexpand.report.layer_map.tensors import OutsideTensor
from distexpand.report.layer_map.words import layer_lines, outside_lines, outside_name, run_label
from distexpand.report.picture.runs import LayerRun

_LETTER_WIDTH = 6.2
_BASE_LINE = 3.6
_MARK_ROOM = 7.0
_KIND_BARS = ((0.0, 0.0), (0.0, 9.0), (0.0, 4.0), (5.0, 4.0), (3.5, 2.0))
"""Where the bar of a layer type begins and how wide it is, the most frequent type having none."""


def draw_layers(parent: Element, shown: LayerMap, place: Frame, *, interactive: bool) -> None:
    """Draw a block per output layer; with `interactive` as the options of a list that keys walk through."""
    names = {"class": "dx-layers"}
    if interactive:
        names |= {"role": "listbox", "aria-label": "Output layers, first to last"}
    group = shape(parent, "g", names)
    for number, run in enumerate(shown.runs):
        for layer in shown.layers[run.start : run.stop]:
            block = _block(group, layer, place)
            titled(block, layer_lines(layer, shown))
            if interactive:
                _make_option(block, layer, place, run=number)
    _hatch(parent, shown.layers, place)
    _draw_kinds(parent, shown, place)


def draw_labels(parent: Element, shown: LayerMap, place: Frame) -> None:
    """Draw the runs' labels inside their blocks and the numbers of their first layers beside them."""
    group = shape(parent, "g", {"class": "dx-mute"})
    for run in shown.runs:
        if run.start:
            y = place.at(run.start) - place.gap / 2
            line: dict[str, Value] = {
                "class": "dx-gap",
                "x1": place.x,
                "x2": place.right,
                "y1": y,
                "y2": y,
                "stroke-width": 1.2,
            }
            shape(group, "line", line)
        _draw_label(group, run, shown, place)
    for run, y in _numbered(shown, place):
        left = place.columns[shown.layers[run.start].model].left
        note = shown.notes.get(run.transforms)
        words = f"{run.start}" + (f" [{note}]" if note else "")
        x = place.edge + 4 if left else place.x - 4
        text(group, (x, y), words, "dx-halo", "" if left else "end")


def draw_outside(parent: Element, shown: LayerMap, place: Frame) -> None:
    """Draw the tensors before and after the stack as a box above and one below it."""
    for tensors, before in ((shown.before, True), (shown.after, False)):
        if tensors:
            y = place.y - BOX_HEIGHT - 4 if before else place.end + 4
            _box(parent, tensors, shown, place, y=y, before=before)


def _block(parent: Element, layer: MapLayer, place: Frame) -> Element:
    y, height = place.at(layer.number), place.layer_height - place.gap
    width = place.right - place.x
    if layer.origin.identity:
        inset = min(0.5, height / 4)
        classes = f"dx-layer {ribbon_class(layer.model)} dx-identity"
        return rect(parent, (place.x + 0.5, y + inset, width - 1, height - 2 * inset), classes)
    return rect(parent, (place.x, y, width, height), f"dx-layer {hue_class(layer.model)}")


def _make_option(block: Element, layer: MapLayer, place: Frame, *, run: int) -> None:
    block.attrib |= {"role": "option", "aria-selected": "false", "tabindex": "-1" if layer.number else "0"}
    block.set("data-run", str(run))
    block.set("data-source", f"{layer.model}:{layer.origin.layer}")
    ties = [tie_path(place.columns[model], source, place, layer.number) for model, source in layer.sources]
    block.set("data-tie", "".join(ties))


def _hatch(parent: Element, layers: Sequence[MapLayer], place: Frame) -> None:
    """Hatch the layers that repeat earlier ones, in one piece where they follow each other."""
    for repeated, group in groupby(layers, key=lambda layer: layer.repeated):
        stretch = list(group)
        if repeated:
            height = len(stretch) * place.layer_height - place.gap
            width = place.right - place.x
            y = place.at(stretch[0].number)
            rect(parent, (place.x, y, width, height), "dx-mute", fill="url(#dx-hatch)")


def _draw_label(parent: Element, run: LayerRun, shown: LayerMap, place: Frame) -> None:
    height = len(run.origins) * place.layer_height - place.gap
    middle, y = (place.x + place.right) / 2, place.at(run.start) + height / 2
    if run.identity:
        if height >= _MARK_ROOM:
            text(parent, (middle, y + _BASE_LINE), "=", "dx-text dx-strong", "middle")
        return
    label = run_label(run, shown)
    width = len(label) * _LETTER_WIDTH + 6
    if height < LABEL_HEIGHT or width > place.right - place.x:
        return
    chip = min(LABEL_HEIGHT + 2, height)
    hue = hue_class(shown.layers[run.start].model)
    rect(parent, (middle - width / 2, y - chip / 2, width, chip), hue, rx=2)
    text(parent, (middle, y + _BASE_LINE), label, "dx-over dx-strong", "middle")


def _numbered(shown: LayerMap, place: Frame) -> Iterator[tuple[LayerRun, float]]:
    """Yield the runs whose first layer's number has room beside it, and its base line."""
    free = {True: 0.0, False: 0.0}
    for run in shown.runs:
        left = place.columns[shown.layers[run.start].model].left
        height = len(run.origins) * place.layer_height
        y = place.at(run.start) + min(height / 2, 5.5) + _BASE_LINE
        lone_block = run.identity and len(run.origins) == 1 and place.layer_height < LABEL_HEIGHT
        if y >= free[left] and not lone_block:
            free[left] = y + LABEL_HEIGHT
            yield run, y


def _draw_kinds(parent: Element, shown: LayerMap, place: Frame) -> None:
    if place.kinds_x is None:
        return
    for kind, group in groupby(shown.layers, key=lambda layer: layer.kind):
        stretch = list(group)
        height = len(stretch) * place.layer_height - place.gap
        kind_bar(parent, shown.kinds.index(kind), place.kinds_x, place.at(stretch[0].number), height)


def kind_bar(parent: Element, kind: int, x: float, y: float, height: float) -> None:
    """Draw the mark of a layer type."""
    begin, width = _KIND_BARS[min(kind, len(_KIND_BARS) - 1)]
    if width:
        rect(parent, (x + begin, y, width, height), "dx-kind dx-mute")


def _box(
    parent: Element,
    tensors: Sequence[OutsideTensor],
    shown: LayerMap,
    place: Frame,
    *,
    y: float,
    before: bool,
) -> None:
    """Draw one box; its colour is that of its largest tensor's model."""
    largest = max(tensors, key=lambda tensor: tensor.size)
    named = [shown.model_number(name) for name in largest.models]
    model = next((number for number in named if number is not None), None)
    classes = "dx-kind" if model is None else hue_class(model)
    box = rect(parent, (place.x, y, place.right - place.x, BOX_HEIGHT), classes, rx=3)
    titled(box, outside_lines(tensors, before=before))
    letter = "" if model is None else f" {shown.models[model].letter}"
    words = outside_name(tensors, before=before) + letter
    middle = (place.x + place.right) / 2
    text(parent, (middle, y + BOX_HEIGHT / 2 + _BASE_LINE), words, "dx-over dx-mute", "middle")
