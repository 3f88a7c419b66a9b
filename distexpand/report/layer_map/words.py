"""The words of the layer map: what stands in a tooltip, a table's cell and the details of a layer.

One place for them, so that eyes, a screen reader and a test are told the same.
"""

from collections import Counter
from collections.abc import Sequence

from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.layer_map.layers import LayerMap, MapLayer
from distexpand.report.layer_map.tensors import OutsideTensor
from distexpand.report.picture.chart import range_text, source_text
from distexpand.report.picture.runs import LayerRun
from distexpand.report.sizes import bytes_text, plural

_MOST_NAMES = 3


def layer_lines(layer: MapLayer, shown: LayerMap) -> tuple[str, ...]:
    """Return what is known of an output layer, a fact a line."""
    lines = [f"Output layer {layer.number}", *source_lines(layer, shown)]
    lines += [word[0].upper() + word[1:] for word in (layer_mark(layer), _line(layer.kind)) if word]
    lines += [_line(transform) for transform in layer.origin.transforms]
    if layer.shards:
        lines.append(f"{bytes_text(layer.size)} in {_shards(layer.shards, shown)}")
    return tuple(lines)


def source_lines(layer: MapLayer, shown: LayerMap) -> tuple[str, ...]:
    """Return a line per source of a layer, the main one first."""
    lines = []
    for position, (number, source) in enumerate(layer.sources):
        model = shown.models[number]
        begin = "blended with" if position else "from"
        lines.append(f"{begin} {model.letter} layer {source} ({_line(model.name)})")
    return tuple(lines)


def layer_mark(layer: MapLayer) -> str:
    """Return what a layer is marked as, if it is."""
    if layer.origin.identity:
        return "identity block: passes its input on unchanged"
    return f"repeats its source layer, use {layer.origin.copy + 1}" if layer.repeated else ""


def run_label(run: LayerRun, shown: LayerMap) -> str:
    """Return a run's sources: `A 0-15`."""
    return source_text(run, tuple(model.name for model in shown.models), UNICODE)


def run_range(run: LayerRun) -> str:
    """Return a run's output layers: `16-31`."""
    return range_text(run.start, run.stop - 1, UNICODE)


def ranges_text(stretches: Sequence[tuple[int, int]]) -> str:
    """Return stretches of layers: `0-3, 7`."""
    return ", ".join(range_text(first, last, UNICODE) for first, last in stretches)


def run_words(run: LayerRun, shown: LayerMap) -> str:
    """Return what a run's layers are: copied, repeated, identity blocks, of which types."""
    if run.identity:
        words = [plural(len(run.origins), "identity block")]
    elif run.repeats:
        words = ["repeated" if run.repeats == len(run.origins) else f"{run.repeats} repeated"]
    else:
        words = [] if run.others else ["copied"]
    words += ["blended"] if run.others else []
    counts = Counter(layer.kind for layer in shown.layers[run.start : run.stop] if layer.kind)
    kinds = [f"{count} {_line(kind)}" for kind, count in counts.items()]
    return ", ".join([*words, *map(_line, run.transforms), *kinds])


def outside_name(tensors: Sequence[OutsideTensor], *, before: bool) -> str:
    """Return what to call the tensors on one side of the stack: `embeddings`, `norm + head`."""
    if before:
        return "embeddings"
    names = [tensor.name for tensor in tensors]
    words = ["norm"] if any("norm" in name or "ln_f" in name for name in names) else []
    words += ["head"] if any(word in name for name in names for word in ("head", "embed_out")) else []
    return " + ".join(words) or "after the layers"


def outside_lines(tensors: Sequence[OutsideTensor], *, before: bool) -> tuple[str, ...]:
    """Return what is known of the tensors on one side of the stack, the first few by name."""
    total = bytes_text(sum(tensor.size for tensor in tensors))
    heading = (
        f"{outside_name(tensors, before=before).capitalize()}: {plural(len(tensors), 'tensor')}, {total}"
    )
    lines = [
        f"{_line(tensor.name)} from {_line(', '.join(tensor.models)) or 'no source'}"
        for tensor in tensors[:_MOST_NAMES]
    ]
    more = len(tensors) - _MOST_NAMES
    return (heading, *lines, *([f"and {more} more"] if more > 0 else []))


def _shards(numbers: Sequence[int], shown: LayerMap) -> str:
    first = _line(shown.shards[numbers[0]].name)
    return first if len(numbers) == 1 else f"{first} and {len(numbers) - 1} more"


def _line(text: str) -> str:
    return printable(text, UNICODE)
