"""The layer picture on a terminal: a hue per model, deeper the deeper the source layer.

The hues are Okabe and Ito's, which people with any common colour blindness
tell apart; yellow is kept for identity blocks, repeated layers are greyed.
No shade is so dark that black letters on it can't be read. Letters stay, so
the picture says the same in black and white. Terminals with fewer colours get
the nearest that they have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from rich.color import Color
from rich.console import Console, ConsoleOptions
from rich.style import Style
from rich.text import Text

from distexpand.planning.model import LayerOrigin
from distexpand.report.glyphs import ASCII, UNICODE
from distexpand.report.picture.drawing import Line, Role, Span
from distexpand.report.picture.picture import draw_layers

_Rgb: TypeAlias = tuple[int, int, int]

_SKY, _ORANGE, _GREEN = (86, 180, 233), (230, 159, 0), (0, 158, 115)
_PURPLE, _VERMILLION, _BLUE = (204, 121, 167), (213, 94, 0), (0, 114, 178)
_HUES: tuple[_Rgb, ...] = (_SKY, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _BLUE)
_IDENTITY: _Rgb = (240, 228, 66)
_WHITE: _Rgb = (255, 255, 255)
_BLACK: _Rgb = (0, 0, 0)
_GREY: _Rgb = (128, 128, 128)
_SHALLOWEST, _DEEPEST = 0.6, -0.1
_FADED = 0.65
_WIDEST = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPicture:
    """The picture as something that rich prints, as wide as the console allows."""

    layers: tuple[LayerOrigin, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the picture line by line."""
        del console
        glyphs = ASCII if options.ascii_only else UNICODE
        for line in draw_layers(self.layers, glyphs, width=min(options.max_width, _WIDEST)):
            yield styled(line)


def styled(line: Line) -> Text:
    """Return a line of a drawing in colours."""
    text = Text(no_wrap=True, overflow="crop", end="\n")
    for span in line:
        text.append(span.text, style=_style(span))
    return text


def _style(span: Span) -> Style:
    match span.role:
        case Role.TEXT:
            return Style.null()
        case Role.GUIDE:
            return Style(dim=True)
        case Role.IDENTITY:
            return _cell(_IDENTITY, bold=True)
        case Role.LAYER:
            return _cell(_shade(span), bold=True)
        case Role.REPEAT:
            return _cell(_mixed(_shade(span), _GREY, _FADED), bold=False)


def _shade(span: Span) -> _Rgb:
    """Return the model's hue, mixed with white for the first layers and a little black for the last."""
    amount = _SHALLOWEST + (_DEEPEST - _SHALLOWEST) * span.depth
    return _mixed(_HUES[span.model % len(_HUES)], _WHITE if amount > 0 else _BLACK, abs(amount))


def _mixed(colour: _Rgb, other: _Rgb, amount: float) -> _Rgb:
    red, green, blue = (round(one + (two - one) * amount) for one, two in zip(colour, other, strict=True))
    return red, green, blue


def _cell(background: _Rgb, *, bold: bool) -> Style:
    return Style(color=Color.from_rgb(*_BLACK), bgcolor=Color.from_rgb(*background), bold=bold)
