"""Horizontal bars with whiskers as SVG text, in panels one below the other, no library."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.svg_lines import FONT

_WIDTH, _LEFT, _RIGHT, _TOP = 720, 190, 70, 40
_ROW, _BAR, _PANEL_HEAD, _PANEL_FOOT = 22, 13, 26, 34
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A median with the least and the most of the same figure, and what is written beside it."""

    name: str
    median: float
    least: float
    most: float
    label: str
    colour: str


def bar_chart(title: str, unit: str, panels: Mapping[str, Sequence[Bar]]) -> str:
    """Return a chart of one panel of bars per heading, all on the same scale from 0."""
    end = max(bar.most for bars in panels.values() for bar in bars)
    height = _TOP + sum(_panel_height(bars) for bars in panels.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(12, 22, title, 'font-weight="bold"'),
    ]
    top = _TOP
    for heading, bars in panels.items():
        parts += _panel(heading, bars, top, end, unit)
        top += _panel_height(bars)
    return "\n".join([*parts, "</svg>\n"])


def ticks(end: float) -> list[float]:
    """Return three to six round numbers from 0 to at most `end`."""
    power = 10.0 ** math.floor(math.log10(end / 6))
    step = next(size * power for size in (*_STEPS, 10) if end / (size * power) <= 6)
    return [step * number for number in range(int(end / step + 1e-9) + 1)]


def _panel_height(bars: Sequence[Bar]) -> int:
    return _PANEL_HEAD + _ROW * len(bars) + _PANEL_FOOT


def _panel(heading: str, bars: Sequence[Bar], top: int, end: float, unit: str) -> Iterator[str]:
    """Yield a panel: its heading, the scale behind the bars, and the bars."""
    yield _text(12, top + 14, heading)
    first = top + _PANEL_HEAD
    bottom = first + _ROW * len(bars)
    for tick in ticks(end):
        x = _across(tick, end)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{first - 4}" y2="{bottom}" stroke="#ddd"/>'
        yield _text(x, bottom + 14, f"{tick:g}{unit if not tick else ''}", 'text-anchor="middle"')
    for number, bar in enumerate(bars):
        yield from _bar(bar, first + _ROW * number, end)


def _bar(bar: Bar, top: int, end: float) -> Iterator[str]:
    middle = top + _ROW / 2
    zero, median, least, most = (_across(value, end) for value in (0, bar.median, bar.least, bar.most))
    yield _text(_LEFT - 8, middle + 4, bar.name, 'text-anchor="end"')
    size = f'width="{median - zero:.1f}" height="{_BAR}"'
    yield f'<rect x="{zero}" y="{middle - _BAR / 2}" {size} fill="{bar.colour}"/>'
    yield f'<path d="M{least:.1f},{middle} H{most:.1f}" stroke="#222"/>'
    for x in (least, most):
        yield f'<path d="M{x:.1f},{middle - 4} V{middle + 4}" stroke="#222"/>'
    yield _text(max(median, most) + 6, middle + 4, bar.label)


def _across(value: float, end: float) -> float:
    return _LEFT + value / end * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} {more}>{html.escape(words)}</text>'
