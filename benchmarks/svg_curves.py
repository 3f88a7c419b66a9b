"""Curves over steps as SVG text: few lines, labels at their ends, no library."""

from collections.abc import Mapping, Sequence

from benchmarks.svg_lines import COLOURS, FONT, spread

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 40, 50
_TICKS = 6

Points = Sequence[tuple[float, float]]


def curve_plot(title: str, lines: Mapping[str, Points], *, across: str, up: str) -> str:
    """Return a plot of lines over linear axes that span what the lines do."""
    spans = tuple(_span([point[axis] for points in lines.values() for point in points]) for axis in (0, 1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" {FONT} font-weight="bold">{title}</text>',
        *_axes(spans, across, up),
    ]
    labels = spread([_place(*points[-1], spans)[1] for points in lines.values()])
    for (name, points), colour, label in zip(lines.items(), COLOURS, labels, strict=False):
        path = " ".join("{:.1f},{:.1f}".format(*_place(x, y, spans)) for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        right = _WIDTH - _RIGHT + 8
        parts.append(f'<text x="{right}" y="{label + 4:.1f}" {FONT} fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _span(values: Sequence[float]) -> tuple[float, float]:
    least, most = min(values), max(values)
    return least, most if most > least else least + 1


def _axes(spans: tuple[tuple[float, float], ...], across: str, up: str) -> list[str]:
    (left, most), (low, high) = spans
    parts = []
    for tick in range(_TICKS):
        share = tick / (_TICKS - 1)
        _, y = _place(left, low + share * (high - low), spans)
        x, _ = _place(left + share * (most - left), low, spans)
        right = _WIDTH - _RIGHT
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{low + share * (high - low):.2f}", "end"))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{left + share * (most - left):.0f}", "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, across, "middle"))
    return [*parts, _text(_LEFT, 36, up, "start")]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} text-anchor="{anchor}">{text}</text>'


def _place(x: float, y: float, spans: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    (left, right), (low, high) = spans
    across, up = (x - left) / (right - left), (y - low) / (high - low)
    return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - up) * (_HEIGHT - _TOP - _BOTTOM)
