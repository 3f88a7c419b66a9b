"""A line plot as SVG text: few lines, labels at their ends, no library."""

import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FONT = 'font-family="sans-serif" font-size="12"'

Points = Sequence[tuple[float, float]]


def efficiency_plot(title: str, lines: Mapping[str, Points]) -> str:
    """Return a plot of efficiency (0 to 1) over nodes (doubling from step to step)."""
    most = max(x for points in lines.values() for x, _ in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" {FONT} font-weight="bold">{title}</text>',
        *_axes(most),
    ]
    labels = spread([_place(*points[-1], most)[1] for points in lines.values()])
    for (name, points), colour, label in zip(lines.items(), COLOURS, labels, strict=False):
        places = [_place(x, y, most) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        right = _WIDTH - _RIGHT + 8
        parts.append(f'<text x="{right}" y="{label + 4:.1f}" {FONT} fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _axes(most: float) -> list[str]:
    parts = []
    for step in range(6):
        _, y = _place(1, step / 5, most)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" {FONT} text-anchor="end">{20 * step}%</text>')
    for power in range(int(math.log2(most)) + 1):
        x, y = _place(2**power, 0, most)
        parts.append(f'<text x="{x:.1f}" y="{y + 18}" {FONT} text-anchor="middle">{2**power}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" {FONT} text-anchor="middle">nodes</text>')
    return parts


def _place(x: float, y: float, most: float) -> tuple[float, float]:
    across = math.log2(x) / math.log2(most) if most > 1 else 0.0
    return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)


def spread(heights: Sequence[float]) -> list[float]:
    """Move labels down until none covers another."""
    found = [0.0] * len(heights)
    last = 0.0
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        last = found[index] = max(heights[index], last + 15)
    return found
