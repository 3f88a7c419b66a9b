"""The strip: one character per output layer, in order.

The letter is the source model, in lower case where the source layer was used
before; `=` is an identity block (output equals input). Above it the output
layer's number, below it the source layer's number where a run begins.
Where the config tells layer types apart, a further line shows them, because
a cut that breaks their rhythm is what goes wrong in hybrid models.
"""

from collections import Counter

from distexpand.planning.model import LayerOrigin
from distexpand.report.picture.drawing import Line, Role, Span, labels, ruler, text_line
from distexpand.report.picture.runs import LayerRun, is_repeat

IDENTITY_MARK = "="
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARGIN = 8
_RULER_STEP = 10


def letter(position: int) -> str:
    """Return the character of the model at this position in the legend; `*` for the 27th and later."""
    return _LETTERS[position] if position < len(_LETTERS) else "*"


def layer_span(origin: LayerOrigin, models: tuple[str, ...], depth: int) -> Span:
    """Return the character of one layer, where the deepest source has `depth` layers."""
    model = models.index(origin.model)
    at = origin.layer / max(depth - 1, 1)
    if origin.identity:
        return Span(text=IDENTITY_MARK, role=Role.IDENTITY, model=model, depth=at)
    if is_repeat(origin):
        return Span(text=letter(model).lower(), role=Role.REPEAT, model=model, depth=at)
    return Span(text=letter(model), role=Role.LAYER, model=model, depth=at)


def strip_lines(
    layers: tuple[LayerOrigin, ...], runs: tuple[LayerRun, ...], spans: tuple[Span, ...], *, width: int
) -> tuple[Line, ...]:
    """Return the strip, folded to `width` columns; `spans` has each layer's character."""
    per_row = max((width - _MARGIN) // _RULER_STEP, 1) * _RULER_STEP
    kinds = kind_marks(layers)
    lines: list[Line] = []
    for start in range(0, len(layers), per_row):
        stop = min(start + per_row, len(layers))
        source = _source_labels(runs, start, stop, room=width - _MARGIN)
        lines.append(_row("output", ruler(start, stop, step=_RULER_STEP), Role.GUIDE))
        lines.append((Span(text=" " * _MARGIN), *spans[start:stop]))
        if kinds:
            lines.append(_row("kind", "".join(kinds[layer.kind] for layer in layers[start:stop]), Role.TEXT))
        lines.extend((_row("source", source, Role.GUIDE), text_line("")))
    return tuple(lines)


def kind_marks(layers: tuple[LayerOrigin, ...]) -> dict[str, str]:
    """Return a character per layer type, the most frequent a dot; nothing if there is one type."""
    counts = Counter(layer.kind for layer in layers)
    if len(counts) < 2:  # noqa: PLR2004 -- one type needs no telling apart
        return {}
    frequent, *rare = (kind for kind, _ in counts.most_common())
    marks = {frequent: "."}
    for kind in rare:
        candidates = [character for character in kind.lower() if character.isascii() and character.isalnum()]
        free = (mark for mark in [*candidates, *"0123456789"] if mark not in marks.values())
        marks[kind] = next(free, "?")
    return marks


def _row(name: str, text: str, role: Role) -> Line:
    return (Span(text=name.rjust(_MARGIN - 2) + "  ", role=Role.GUIDE), Span(text=text, role=role))


def _source_labels(runs: tuple[LayerRun, ...], start: int, stop: int, *, room: int) -> str:
    """Return source layer numbers below the first layer of each run, or of its rest in this row.

    A number that would stand out beyond `room` columns is left out.
    """
    marks: dict[int, str] = {}
    for run in runs:
        begin = max(run.start, start)
        lone_block = run.identity and len(run.origins) == 1
        if begin < min(run.stop, stop) and not lone_block:
            marks[begin - start] = str(run.origins[begin - run.start].layer)
    return labels({column: mark for column, mark in marks.items() if column + len(mark) <= room})
