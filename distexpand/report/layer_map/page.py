"""The report's page: one HTML file without network, with the layer map, figures, times and the recipe.

Built as a tree and written by the standard library, with the script and the style
sheet beside this module. A policy in the page lets no script run but that one, by its
digest, and nothing be loaded, so that a page about a stranger's recipe can be
opened. Rejected: a template language (one more dependency, and escaping to
remember); a framework in the page, for a list and a sum.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from xml.etree.ElementTree import Element, tostring

from distexpand.planning.cost.model import Cost
from distexpand.report.cost_report import cost_rows
from distexpand.report.glyphs import UNICODE
from distexpand.report.layer_map.html import node, section, table
from distexpand.report.layer_map.layers import LayerMap
from distexpand.report.layer_map.rates import Moved, Rates, moved, stage_seconds, time_words
from distexpand.report.layer_map.svg import map_element
from distexpand.report.layer_map.tables import add_figures, add_layers, add_runs, add_shards, add_warnings
from distexpand.report.plan_report import plan_figures
from distexpand.report.sizes import duration_text
from distexpand.report.summary import PlanSummary

PAGE_MARK = '<!doctype html>\n<html lang="en" data-made-by="distexpand">'
"""How an own page begins, by which it is told from a stranger's."""

_HELP = "Point at a layer, or go to it with the arrow keys: up and down, Page Up and Page Down from run to "
_HELP += "run, left and right to other uses of the same source layer."


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """What the page says; `cost` where a cluster was asked about."""

    shown: LayerMap
    summary: PlanSummary
    recipe: str
    digest: str
    cost: Cost | None = None


def map_page(content: PageContent) -> str:
    """Return the page as text."""
    root = Element("html", {"lang": "en", "data-made-by": "distexpand"})
    script, style = _asset("page.js"), _asset("page.css")
    _head(root, content.shown.title, style, script)
    body = node(root, "body")
    _header(body, content.shown.title)
    main = node(body, "main")
    add_warnings(main, content.summary.findings)
    grid = node(main, "div", _class="grid")
    _picture(grid, content.shown)
    _side(grid, content)
    add_shards(main, content.shown)
    add_layers(main, content.shown)
    _recipe(main, content.recipe)
    node(body, "footer", f"Plan {content.digest}. Made by distexpand from headers and configs alone.")
    node(body, "script").text = script
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"


def _head(root: Element, title: str, style: str, script: str) -> None:
    head = node(root, "head")
    node(head, "meta", charset="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    node(head, "meta", http_equiv="Content-Security-Policy", content=policy)
    node(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    node(head, "meta", name="color-scheme", content="light dark")
    node(head, "title", title)
    node(head, "link", rel="icon", href="data:,")
    node(head, "style").text = style


def _header(body: Element, title: str) -> None:
    header = node(body, "header")
    node(header, "p", "distexpand plan", _class="quiet")
    node(header, "h1", title)


def _picture(grid: Element, shown: LayerMap) -> None:
    part = section(grid, "Layer map", "map")
    node(part, "p", _HELP, _class="quiet screen")
    part.append(map_element(shown))


def _side(grid: Element, content: PageContent) -> None:
    side = node(grid, "div", _class="side")
    details = node(side, "aside", id="details", aria_label="The layer pointed at")
    node(details, "p", "No layer chosen.", _class="quiet")
    add_figures(side, list(plan_figures(content.summary, UNICODE)))
    _times(side, moved(content.summary.transfer))
    if content.cost is not None:
        _cluster(side, content.cost)
    add_runs(side, content.shown)


def _times(parent: Element, bytes_moved: Moved) -> None:
    """Add the time at rates that the reader can change; what stands there without a script is true, too."""
    part = section(parent, "Time at these rates", "times")
    figures = {
        "data_read": bytes_moved.read,
        "data_read_apart": bytes_moved.read_apart,
        "data_written": bytes_moved.written,
        "data_written_apart": bytes_moved.written_apart,
    }
    form = node(part, "form", id="rates", **{name: str(value) for name, value in figures.items()})
    rates = Rates()
    _choice(form, "sources", "Sources on")
    _choice(form, "output", "Output on")
    _number(form, "disk-read", "Disk read, MB/s", rates.disk_read / 1e6)
    _number(form, "disk-write", "Disk write, MB/s", rates.disk_write / 1e6)
    _number(form, "network", "Network, Gbit/s", rates.network * 8 / 1e9)
    slowest, seconds = time_words(stage_seconds(bytes_moved, rates))
    result = node(part, "p")
    result.text = "At least "
    node(
        result, "output", f"{duration_text(seconds)}, held up by {slowest}", id="time"
    ).tail = ". Nothing of what can be shared with the sources on one file system is moved."


def _choice(form: Element, name: str, label: str) -> None:
    around = node(form, "label", label)
    select = node(around, "select", id=name)
    node(select, "option", "this disk", value="disk")
    node(select, "option", "the network", value="network")


def _number(form: Element, name: str, label: str, value: float) -> None:
    around = node(form, "label", label)
    limits = {"min": "0.001", "step": "any", "inputmode": "decimal"}
    node(around, "input", id=name, type="number", value=f"{value:g}", **limits)


def _cluster(parent: Element, cost: Cost) -> None:
    part = section(parent, "On a cluster", "cluster")
    table(part, "Predicted time and what it rests on", ["", "", ""], cost_rows(cost))
    _paragraphs(part, cost.advice)


def _recipe(parent: Element, recipe: str) -> None:
    part = section(parent, "Recipe, written out", "recipe")
    lines = node(part, "pre", tabindex="0", aria_label="The canonical recipe")
    # A recipe's line ends are meant; everything else that can't be printed is not.
    lines.text = "\n".join(
        "".join(character if character.isprintable() else "?" for character in line)
        for line in recipe.split("\n")
    )


def _paragraphs(parent: Element, lines: Sequence[str]) -> None:
    for line in lines:
        node(parent, "p", line, _class="quiet")


def _asset(name: str) -> str:
    return files("distexpand.report.layer_map").joinpath(name).read_text(encoding="utf-8")
