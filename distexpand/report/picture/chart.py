"""The chart: one row per run, its bar standing at the depth that it has in the source.

Read downwards it is the output; read across, the source. Slices that jump
back, overlap or leave layers out show as a staircase, without any arithmetic
on the reader's side. Rows carry the exact ranges, so the chart is the table
of runs as well. What was done to tensors is numbered and written out below,
because many runs share it.
"""

import textwrap
from dataclasses import dataclass

from distexpand.report.glyphs import Glyphs, printable
from distexpand.report.picture.drawing import Line, Role, Span, ruler, text_line
from distexpand.report.picture.runs import LayerRun
from distexpand.report.picture.strip import letter

_GAP = "  "
_SMALLEST_BAR = 12
_MOST_NOTES = 8
_RULER_STEPS = (4, 8, 10, 20, 40, 50, 100, 200, 500, 1000)
_LABEL_ROOM = 4
_MOST_LABELS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The texts of each row beside its bar, and the widths that they need."""

    outputs: tuple[str, ...]
    sources: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def output_width(self) -> int:
        return max(len("output"), *map(len, self.outputs))

    @property
    def source_width(self) -> int:
        return max(len("source"), *map(len, self.sources))

    def names(self, output: str, source: str) -> str:
        """Return the left part of a row."""
        return f"{output:>{self.output_width}}{_GAP}{source:<{self.source_width}}{_GAP}"

    @property
    def remark_width(self) -> int:
        return max(map(len, self.remarks))


def chart_lines(
    runs: tuple[LayerRun, ...],
    spans: tuple[Span, ...],
    models: tuple[str, ...],
    glyphs: Glyphs,
    *,
    depth: int,
    width: int,
    max_rows: int,
) -> tuple[Line, ...]:
    """Return the chart with at most `max_rows` runs, those in the middle left out."""
    notes = _numbered_transforms(runs)
    columns = _Columns(
        outputs=tuple(range_text(run.start, run.stop - 1, glyphs) for run in runs),
        sources=tuple(source_text(run, models, glyphs) for run in runs),
        remarks=tuple(_remark(run, notes) for run in runs),
    )
    beside = columns.output_width + columns.source_width + columns.remark_width + 3 * len(_GAP)
    per_column = _layers_per_column(depth, max(width - beside, _SMALLEST_BAR))
    step = _ruler_step(depth, per_column)
    grid = _grid(depth, per_column, step, glyphs)
    rows = [
        _chart_row(run, spans, columns, grid, row=row, per_column=per_column) for row, run in enumerate(runs)
    ]
    scale = ruler(0, depth, step=step, per_column=per_column)
    names = f"{'output':>{columns.output_width}}{_GAP}{'source':<{columns.source_width}}{_GAP}"
    return (
        text_line(names + scale, Role.GUIDE),
        *_without_middle(rows, runs, max_rows, glyphs),
        *_note_lines(notes, glyphs, width),
    )


def range_text(first: int, last: int, glyphs: Glyphs) -> str:
    """Return an inclusive range of layers: `0-15`, or `7` for one."""
    return str(first) if first == last else f"{first}{glyphs.dash}{last}"


def source_text(run: LayerRun, models: tuple[str, ...], glyphs: Glyphs) -> str:
    """Return a run's sources: `A 0-15`, `A 29 x8`, `A 0-15 + B 0-15`."""
    main = f"{letter(models.index(run.model))} {range_text(run.first, run.last, glyphs)}"
    if run.first == run.last and len(run.origins) > 1:
        main += f" {glyphs.times}{len(run.origins)}"
    blended = [f"{letter(models.index(m))} {range_text(one, end, glyphs)}" for m, one, end in run.others]
    if len(blended) > 1:
        blended = [f"{len(blended)} more"]
    return " + ".join([main, *blended])


def _layers_per_column(depth: int, room: int) -> int:
    return -(-depth // room)


def _ruler_step(depth: int, per_column: int) -> int:
    """Return a round number of layers that leaves each label its room and makes at most a dozen."""
    fitting = (
        step for step in _RULER_STEPS if step >= _LABEL_ROOM * per_column and depth <= _MOST_LABELS * step
    )
    return next(fitting, depth)


def _grid(depth: int, per_column: int, step: int, glyphs: Glyphs) -> str:
    """Return an empty bar, with a mark at each of the ruler's numbers."""
    marked = {number // per_column for number in range(0, depth, step)}
    return "".join(glyphs.guide if column in marked else " " for column in range(-(-depth // per_column)))


def _chart_row(
    run: LayerRun,
    spans: tuple[Span, ...],
    columns: _Columns,
    grid: str,
    *,
    row: int,
    per_column: int,
) -> Line:
    bar = _bar(run, spans, per_column)
    begin = run.first // per_column
    end = begin + len(bar)
    return (
        Span(text=columns.names(columns.outputs[row], columns.sources[row])),
        Span(text=grid[:begin], role=Role.GUIDE),
        *bar,
        Span(text=grid[end:] + _GAP, role=Role.GUIDE),
        Span(text=columns.remarks[row]),
    )


def _bar(run: LayerRun, spans: tuple[Span, ...], per_column: int) -> tuple[Span, ...]:
    """Return a column per `per_column` source layers; one with a first use in it shows that."""
    shown: dict[int, Span] = {}
    for origin, span in zip(run.origins, spans[run.start : run.stop], strict=True):
        column = origin.layer // per_column
        if column not in shown or shown[column].role is Role.REPEAT:
            shown[column] = span
    return tuple(span for _, span in sorted(shown.items()))


def _remark(run: LayerRun, notes: dict[tuple[str, ...], int]) -> str:
    words = []
    if run.identity:
        words.append("identity" if len(run.origins) == 1 else f"{len(run.origins)} identity")
    if run.repeats:
        words.append("repeated" if run.repeats == len(run.origins) else f"{run.repeats} repeated")
    if run.transforms:
        words.append(f"[{notes[run.transforms]}]")
    return " ".join(words)


def _numbered_transforms(runs: tuple[LayerRun, ...]) -> dict[tuple[str, ...], int]:
    distinct = dict.fromkeys(run.transforms for run in runs if run.transforms)
    return {transforms: number for number, transforms in enumerate(distinct, start=1)}


def _note_lines(notes: dict[tuple[str, ...], int], glyphs: Glyphs, width: int) -> tuple[Line, ...]:
    if not notes:
        return ()
    texts = [f"[{number}] {printable('; '.join(words), glyphs)}" for words, number in notes.items()]
    if len(texts) > _MOST_NOTES:
        texts = [*texts[: _MOST_NOTES - 1], f"{glyphs.ellipsis} and {len(texts) - _MOST_NOTES + 1} more"]
    wrapped = [line for text in texts for line in textwrap.wrap(text, width, subsequent_indent=" " * 4)]
    return (text_line(""), *map(text_line, wrapped))


def _without_middle(
    rows: list[Line], runs: tuple[LayerRun, ...], max_rows: int, glyphs: Glyphs
) -> tuple[Line, ...]:
    if len(rows) <= max_rows:
        return tuple(rows)
    head = max_rows * 2 // 3
    tail = max(max_rows - head - 1, 1)
    left_out = runs[head : len(runs) - tail]
    layers = range_text(left_out[0].start, left_out[-1].stop - 1, glyphs)
    text = f"{glyphs.ellipsis} {len(left_out)} more runs, output layers {layers} {glyphs.ellipsis}"
    return (*rows[:head], text_line(text, Role.GUIDE), *rows[-tail:])
