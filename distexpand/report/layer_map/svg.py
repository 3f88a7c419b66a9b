"""The layer map as one SVG: for a file, a model card, a notebook, and inside the page.

Depends on the plan alone and is the same text everywhere, because it is a file of
every output. Rejected: a plotting library, which would have to be installed wherever
a plan is made, and whose output changes from version to version.
"""

from xml.etree.ElementTree import Element, tostring

from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.layer_map.column import draw_labels, draw_layers, draw_outside
from distexpand.report.layer_map.geometry import BOX_HEIGHT, WIDTH, Frame, frame
from distexpand.report.layer_map.layers import LayerMap
from distexpand.report.layer_map.legend import draw_marks, draw_models
from distexpand.report.layer_map.palette import picture_css
from distexpand.report.layer_map.ribbons import draw_columns, draw_ribbons
from distexpand.report.layer_map.shapes import rect, shape, text
from distexpand.report.layer_map.words import run_label, run_range, run_words

SVG_MARK = "<!-- layer map made by distexpand -->"
"""By which an own picture is told from a stranger's."""

_ZOOM = 1.5
_MOST_RUNS = 40


def map_svg(shown: LayerMap) -> str:
    """Return the picture as the text of an SVG file, with a description for those who don't see it."""
    root = map_image(shown)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    return f"{SVG_MARK}\n{tostring(root, encoding='unicode')}\n"


def map_image(shown: LayerMap) -> Element:
    """Return the picture for a document, as one image with a description."""
    root = _drawn(shown, interactive=False)
    root.attrib |= {"role": "img", "aria-label": printable(f"Layer map: {shown.title}", UNICODE)}
    description = Element("desc")
    description.text = picture_description(shown)
    root.insert(0, description)
    return root


def map_element(shown: LayerMap) -> Element:
    """Return the picture for a page with a script: its layers are a list that keys walk through."""
    root = _drawn(shown, interactive=True)
    root.attrib |= {"class": "dx-map", "role": "group", "aria-label": "Layer map"}
    return root


def picture_description(shown: LayerMap) -> str:
    """Return the picture in words, run by run."""
    runs = [
        f"output layers {run_range(run)} are {run_label(run, shown)} ({run_words(run, shown)})"
        for run in shown.runs[:_MOST_RUNS]
    ]
    if len(shown.runs) > _MOST_RUNS:
        runs.append(f"and {len(shown.runs) - _MOST_RUNS} more runs")
    models = ", ".join(f"{model.letter} is {model.name}" for model in shown.models)
    return printable(f"{shown.title}. {models}. {'; '.join(runs)}.", UNICODE)


def _drawn(shown: LayerMap, *, interactive: bool) -> Element:
    root = Element("svg")
    shape(root, "style", {}).text = picture_css()
    _hatch_pattern(root)
    ground = rect(root, (0.0, 0.0, WIDTH, 0.0), "dx-ground")
    if shown.layers:
        bottom = _draw_stack(root, shown, interactive=interactive)
    else:
        text(root, (8, 20), "no layers")
        bottom = 32.0
    ground.set("height", f"{bottom:.0f}")
    root.set("viewBox", f"0 0 {WIDTH:.0f} {bottom:.0f}")
    root.attrib |= {"width": f"{_ZOOM * WIDTH:.0f}", "height": f"{_ZOOM * bottom:.0f}"}
    return root


def _draw_stack(root: Element, shown: LayerMap, *, interactive: bool) -> float:
    """Draw legend, sources and output from top to bottom; return where they end."""
    top = draw_models(root, shown, 6.0) + 20
    place = frame(shown, top=top + (BOX_HEIGHT + 6 if shown.before else 4))
    draw_ribbons(root, shown, place)
    draw_columns(root, shown, place)
    draw_layers(root, shown, place, interactive=interactive)
    if interactive:
        shape(root, "path", {"class": "dx-tie dx-mute", "d": ""})
    draw_labels(root, shown, place)
    draw_outside(root, shown, place)
    _heading(root, shown, place, top)
    end = place.end + (BOX_HEIGHT + 4 if shown.after else 0) + 14
    return draw_marks(root, shown, end) + 6


def _heading(root: Element, shown: LayerMap, place: Frame, top: float) -> None:
    words = f"output, {len(shown.layers)} layers"
    text(root, ((place.x + place.right) / 2, top - 6), words, "dx-text dx-strong", "middle")


def _hatch_pattern(root: Element) -> None:
    definitions = shape(root, "defs", {})
    size: dict[str, str | float | int] = {"id": "dx-hatch", "width": 5, "height": 5}
    more = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    pattern = shape(definitions, "pattern", size | more)
    rect(pattern, (0, 0, 2, 5), "dx-stripe")
