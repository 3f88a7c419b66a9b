"""The layer map: its data, its picture, its page, for any stack of layers."""

import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import MissingDependencyError
from distexpand.findings import Finding
from distexpand.planning.model import LayerOrigin
from distexpand.planning.transfer import LayoutReads, Transfer, transfer
from distexpand.report.layer_map.layers import LayerMap, layer_map
from distexpand.report.layer_map.notebook import notebook_html
from distexpand.report.layer_map.page import PAGE_MARK, PageContent, map_page
from distexpand.report.layer_map.palette import DARK, LIGHT
from distexpand.report.layer_map.png import PNG_MARK, map_png
from distexpand.report.layer_map.rates import Rates, moved, stage_seconds, time_words
from distexpand.report.layer_map.svg import SVG_MARK, map_svg
from distexpand.report.summary import summarise
from tests.report import plans
from tests.report.stacks import GOLIATH, interleaved, origin, stack, stacks, tall

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=y>',
    "]]>&amp;</title>",
    "a\x00\x1b[31m\ud800 b",
]


def shown(layers: tuple[LayerOrigin, ...], title: str = "t") -> LayerMap:
    return layer_map(plans.plan([plans.shard(1, 1, [("copy", 8, 0)])], layers), title=title)


def picture(layers: tuple[LayerOrigin, ...]) -> ET.Element:
    return ET.fromstring(map_svg(shown(layers)))


def blocks(root: ET.Element) -> list[ET.Element]:
    return [part for part in root.iter(f"{SVG}rect") if "dx-layer" in part.get("class", "").split()]


def page(layers: tuple[LayerOrigin, ...], *, title: str = "t", findings: tuple[Finding, ...] = ()) -> str:
    plan = plans.plan([plans.shard(1, 1, [("copy", 8, 0)])], layers)
    summary = summarise(
        plan,
        layers_before=3,
        transfer=transfer(plan, lambda shards: [[shard] for shard in shards]),
        disk_needed=900,
        disk_free=1000,
        expected_peak_memory=96_000_000,
        findings=findings,
    )
    return map_page(
        PageContent(shown=layer_map(plan, title=title), summary=summary, recipe=title, digest="0" * 64)
    )


class Tags(HTMLParser):
    """The tags of a document in order, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


@given(stacks())
def test_every_layer_has_its_block_in_order_inside_the_picture(layers):
    root = picture(layers)
    drawn = blocks(root)
    assert len(drawn) == len(layers)
    _, _, width, height = map(float, root.get("viewBox").split())
    tops = [float(block.get("y")) for block in drawn]
    assert all(upper < lower for upper, lower in pairwise(tops))
    for block, top, below in zip(drawn, tops, [*tops[1:], height], strict=True):
        assert top + float(block.get("height")) <= below + 0.02
        assert 0 <= float(block.get("x")) <= width - float(block.get("width"))


@given(stacks())
def test_every_layer_tells_where_it_comes_from_and_what_it_is(layers):
    for number, (block, layer) in enumerate(zip(blocks(picture(layers)), layers, strict=True)):
        lines = block.findtext(f"{SVG}title").split("\n")
        assert lines[0] == f"Output layer {number}"
        assert f"layer {layer.layer} (" in lines[1]
        assert any(line.startswith("Identity block") for line in lines) == layer.identity
        assert ("dx-identity" in block.get("class").split()) == layer.identity
        assert any(line.startswith("Repeats") for line in lines) == (layer.copy > 0 and not layer.identity)
        assert sum(line.startswith("blended with") for line in lines) == len(layer.others)
        assert set(layer.transforms) <= set(lines)


@given(stacks())
def test_repeats_are_hatched_and_nothing_else_is(layers):
    root = picture(layers)
    hatched = [part for part in root.iter(f"{SVG}rect") if part.get("fill") == "url(#dx-hatch)"]
    column = {block.get("x") for block in blocks(root)}
    stretches = [(float(p.get("y")), float(p.get("y")) + float(p.get("height"))) for p in hatched]
    in_column = [s for s, p in zip(stretches, hatched, strict=True) if p.get("x") in column]
    for block, layer in zip(blocks(root), layers, strict=True):
        middle = float(block.get("y")) + float(block.get("height")) / 2
        repeated = layer.copy > 0 and not layer.identity
        if not layer.identity:
            assert any(top <= middle <= end for top, end in in_column) == repeated


@given(stacks())
def test_the_picture_is_the_same_text_each_time_and_says_whose_it_is(layers):
    assert map_svg(shown(layers)) == map_svg(shown(layers))
    assert map_svg(shown(layers)).startswith(SVG_MARK)


@pytest.mark.parametrize("layers", [stack(GOLIATH), interleaved("m", 32, 8), tall()])
def test_the_picture_is_small_and_not_endless(layers):
    assert float(picture(layers).get("viewBox").split()[3]) < 1200
    assert len(map_svg(shown(layers))) < 300 * len(layers) + 20_000


@given(st.sampled_from(HOSTILE) | st.text(max_size=40), st.sampled_from(HOSTILE) | st.text(max_size=40))
def test_what_strangers_wrote_never_becomes_markup(name, words):
    def made(name: str, words: str) -> str:
        layers = (origin(name, 0, transforms=(words,)), origin(name, 1, kind=words), origin(name, 1, copy=1))
        finding = Finding(code="c", message=words, advice=words)
        return page(layers, title=words, findings=(finding,))

    plain = made("m", "words")
    attacked = made(name or "m", words or "w")
    assert Tags(attacked).found == Tags(plain).found
    assert attacked.startswith(PAGE_MARK)
    attacked.encode()
    ET.fromstring(map_svg(shown((origin(name or "m", 0, transforms=(words or "w",)),), title=words)))


@given(stacks())
def test_a_notebook_gets_the_picture_without_a_script(layers):
    finding = Finding(code="unused-layers", message="m: layer 3 is in no slice")
    html = notebook_html(shown(layers), findings=(finding,))
    tags = Tags(html).found
    assert "script" not in tags
    assert html.count("<title>Output layer ") == len(layers)
    assert "m: layer 3 is in no slice" in html


def test_a_plan_without_layers_has_a_picture_and_a_page():
    assert "no layers" in map_svg(shown(()))
    assert page(()).startswith(PAGE_MARK)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_every_colour_can_be_read_on_its_ground(scheme):
    for colour in (scheme.text, scheme.quiet, *scheme.hues):
        low, high = sorted((luminance(colour), luminance(scheme.ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_what_is_drawn_as_png_has_the_size_of_the_picture_and_says_whose_it_is():
    pytest.importorskip("resvg_py")
    svg = map_svg(shown(stack(GOLIATH)))
    png = map_png(svg)
    width, height = (int(re.search(rf'{name}="(\d+)"', svg)[1]) for name in ("width", "height"))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (2 * width, 2 * height)
    assert PNG_MARK in png[:512]


def test_without_what_draws_png_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingDependencyError) as caught:
        map_png("<svg/>")
    assert "distexpand[png]" in caught.value.hint


@given(st.integers(0, 10**13), st.integers(0, 10**13), st.booleans(), st.booleans())
def test_the_slowest_of_what_goes_on_at_once_is_the_time(read, written, sources_remote, output_remote):
    reads = LayoutReads(layout=None, together=read, apart=2 * read)
    transferred = Transfer(
        needed=read, planned=reads, other=reads, side_files=0, written=written, zeros=written // 2
    )
    rates = Rates(
        disk_read=3.0,
        disk_write=2.0,
        network=1.0,
        sources_remote=sources_remote,
        output_remote=output_remote,
    )
    stages = stage_seconds(moved(transferred), rates)
    expected_read = (2 * read if output_remote else read) / (1.0 if sources_remote else 3.0)
    expected_write = written if output_remote else (written - written // 2) / 2
    assert sorted(stages.values()) == sorted([expected_read, expected_write])
    name, seconds = time_words(stages)
    assert stages[name] == seconds == max(expected_read, expected_write)
