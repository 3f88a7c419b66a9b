"""The layer map's colours, in light and dark, as the style sheet of its SVG.

Hues are Okabe and Ito's order, which people with any common colour blindness tell
apart, darkened or lightened until each has 4.5:1 against its background: the same
colours then serve as shapes and as ground for text in the background's colour.
Nothing is told by colour alone: models have letters, repeats are hatched, identity
blocks hollow. A picture carries its own background, because one that stands on a
page of the Hub can't know which scheme the page is in. Custom properties would be
shorter, but what makes PNG of it doesn't know them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Colours of one scheme: background, text, quieter text, lines, and a hue per model."""

    ground: str
    text: str
    quiet: str
    line: str
    hues: tuple[str, ...]


LIGHT = Scheme(
    ground="#ffffff",
    text="#1b2430",
    quiet="#566273",
    line="#7d8998",
    hues=("#0067a3", "#b34a00", "#00735a", "#94437a", "#7a5900", "#4a5868"),
)
DARK = Scheme(
    ground="#0f141a",
    text="#e6edf3",
    quiet="#9aa7b5",
    line="#6f7d8c",
    hues=("#5ab8f0", "#f2894a", "#35c99c", "#e59ac8", "#e8bd45", "#a9b6c5"),
)

FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', "
    "'Liberation Sans', 'DejaVu Sans', Arial, sans-serif"
)

_SHAPES = f"""
.dx-text,.dx-quiet,.dx-over,.dx-halo{{font-family:{FONT};font-size:10px}}
.dx-strong{{font-weight:600}}
.dx-halo{{stroke-width:3;stroke-linejoin:round;paint-order:stroke}}
.dx-ribbon{{fill-opacity:.2;stroke-opacity:.8;stroke-width:.7}}
.dx-other{{fill-opacity:.08;stroke-dasharray:3 2}}
.dx-thin{{fill:none;stroke-dasharray:2.5 2}}
.dx-identity{{stroke-width:1;stroke-dasharray:2.5 1.5}}
.dx-stripe{{fill-opacity:.72}}
.dx-track{{fill:none;stroke-width:1}}
.dx-mute{{pointer-events:none}}
"""


def picture_css() -> str:
    """Return the style sheet of the picture, dark where the reader prefers that on a screen."""
    dark = _colours(DARK)
    return f"{_SHAPES}{_colours(LIGHT)}@media screen and (prefers-color-scheme:dark){{\n{dark}}}\n"


def hue_class(model: int) -> str:
    """Return the class of a model's shapes."""
    return f"dx-m{model % len(LIGHT.hues)}"


def ribbon_class(model: int) -> str:
    """Return the class of a model's ribbons and outlines."""
    return f"dx-r{model % len(LIGHT.hues)}"


def _colours(scheme: Scheme) -> str:
    rules = [
        f".dx-ground,.dx-over,.dx-stripe,.dx-identity{{fill:{scheme.ground}}}",
        f".dx-text{{fill:{scheme.text}}}",
        f".dx-halo{{fill:{scheme.text};stroke:{scheme.ground}}}",
        f".dx-quiet{{fill:{scheme.quiet}}}",
        f".dx-kind{{fill:{scheme.quiet}}}",
        f".dx-gap{{stroke:{scheme.ground}}}",
    ]
    for number, hue in enumerate(scheme.hues):
        rules += [f".dx-m{number}{{fill:{hue}}}", f".dx-r{number}{{fill:{hue};stroke:{hue}}}"]
    # Hollow shapes keep their model's outline: these come last.
    rules += [f".dx-identity{{fill:{scheme.ground}}}", ".dx-thin,.dx-track{fill:none}"]
    return "\n".join(rules) + "\n"
