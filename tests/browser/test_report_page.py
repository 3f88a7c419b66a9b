"""The report's page in a real browser: what it shows, how it is worked, and that it is legible."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from distexpand.report.layer_map.rates import Rates, moved, stage_seconds, time_words
from distexpand.report.sizes import duration_text
from tests.browser.pages import Report, reports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOOKING = Path(__file__).with_name("looking.js")
CASES = ("goliath", "blocks", "tall", "mixed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Report]:
    return reports(tmp_path_factory.mktemp("reports"))


@contextmanager
def shown(browser: "Browser", report: Report, **options: object) -> "Iterator[Page]":
    """Open a page; whatever it complains of or asks the network for is a failure."""
    settings = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
    context = browser.new_context(**settings)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url))
    page.goto(report.file.as_uri())
    yield page
    context.close()
    assert troubles == [report.file.as_uri()]


@pytest.mark.parametrize("name", CASES)
def test_the_page_shows_every_layer_with_its_provenance(browser, made, name):
    report = made[name]
    with shown(browser, report) as page:
        options = page.get_by_role("listbox").get_by_role("option")
        names = options.evaluate_all("parts => parts.map(part => part.querySelector('title').textContent)")
        for number, (told, layer) in enumerate(zip(names, report.planned.plan.layers, strict=True)):
            assert told.startswith(f"Output layer {number}\nfrom ")
            assert f"layer {layer.layer} ({layer.model})" in told
        assert page.get_by_role("listbox", name="Output layers").is_visible()
        assert page.locator(".dx-ribbon").count() == len(report.shown.runs)
        rows = page.locator("#layers tbody tr")
        assert rows.count() == len(names)


@pytest.mark.parametrize("name", CASES)
def test_the_page_says_what_the_plan_says(browser, made, name):
    report = made[name]
    with shown(browser, report) as page:
        text = page.locator("body").text_content()
        assert page.locator("#recipe pre").text_content() == report.planned.plan.recipe
        assert page.locator("#warnings li").count() == len(report.planned.findings)
        for finding in report.planned.findings:
            assert finding.message in text
        assert f"{report.summary.layers_before} → {report.summary.layers_after}" in text
        assert page.locator("#shards tbody tr").count() == len(report.planned.plan.shards)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", CASES)
def test_every_text_is_legible_and_nothing_overlaps_or_stands_out(browser, made, name, width, scheme):
    viewport = {"width": width, "height": 900}
    with shown(browser, made[name], viewport=viewport, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": height})
        page.add_style_tag(content="* { pointer-events: auto !important; }")
        page.evaluate(LOOKING.read_text())
        contrasts = page.evaluate("contrasts()")
        assert len(contrasts) > 60
        assert [found for found in contrasts if found[1] < 4.5] == []
        assert page.evaluate("overlaps()") == []
        assert page.evaluate("outside()") == []


def test_keys_walk_through_the_layers(browser, made):
    report = made["goliath"]
    last = len(report.shown.layers) - 1
    starts = [run.start for run in report.shown.runs]
    with shown(browser, report) as page:
        page.locator("[role=option][tabindex='0']").focus()
        details = page.locator("#details p").first
        walk = [("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 0), ("ArrowUp", 0)]
        walk += [("PageDown", starts[1]), ("PageDown", starts[2]), ("PageUp", starts[1])]
        walk += [("End", last), ("ArrowDown", last), ("Home", 0)]
        for key, layer in walk:
            page.keyboard.press(key)
            assert details.text_content() == f"Output layer {layer}"
        assert page.locator("[role=option][tabindex='0']").count() == 1
        assert page.locator("[aria-selected=true]").count() == 1


def test_left_and_right_go_to_other_uses_of_the_same_source_layer(browser, made):
    report = made["tall"]
    uses = [layer.number for layer in report.shown.layers if layer.origin.layer == 20]
    assert len(uses) == 5
    with shown(browser, report) as page:
        page.locator("[role=option]").nth(uses[0]).focus()
        for use in [*uses[1:], uses[0]]:
            page.keyboard.press("ArrowRight")
            assert page.locator("#details p").first.text_content() == f"Output layer {use}"
        page.keyboard.press("ArrowLeft")
        assert page.locator("#details p").first.text_content() == f"Output layer {uses[-1]}"


def test_pointing_at_a_layer_tells_of_it_and_ties_it_to_its_source(browser, made):
    with shown(browser, made["mixed"]) as page:
        page.locator("[role=option]").nth(14).hover()
        lines = page.locator("#details p").all_text_contents()
        assert lines[:2] == ["Output layer 14", "from A layer 6 (m)"]
        assert "scale o_proj=0.7071" in lines
        assert "Sliding attention" in lines
        assert page.locator(".dx-tie").bounding_box()["width"] > 50
        assert page.locator(".dx-ribbon.chosen").get_attribute("data-run") == "1"


@pytest.mark.parametrize(
    "rates",
    [
        Rates(),
        Rates(disk_read=1e3, disk_write=5e2),
        Rates(disk_read=1e3, network=1e2, output_remote=True),
        Rates(disk_write=1e1, network=1e6, sources_remote=True),
        Rates(network=1.0, sources_remote=True, output_remote=True),
    ],
)
def test_the_time_is_that_of_the_same_rates_in_python(browser, made, rates):
    report = made["blocks"]
    slowest, seconds = time_words(stage_seconds(moved(report.summary.transfer), rates))
    with shown(browser, report) as page:
        page.get_by_label("Sources on").select_option("network" if rates.sources_remote else "disk")
        page.get_by_label("Output on").select_option("network" if rates.output_remote else "disk")
        page.get_by_label("Disk read").fill(f"{rates.disk_read / 1e6:.9f}")
        page.get_by_label("Disk write").fill(f"{rates.disk_write / 1e6:.9f}")
        page.get_by_label("Network, ").fill(f"{rates.network * 8 / 1e9:.9f}")
        assert page.locator("#time").text_content() == f"{duration_text(seconds)}, held up by {slowest}"
        page.get_by_label("Network, ").fill("")
        assert page.get_by_label("Network, ").get_attribute("aria-invalid") == "true"


def test_without_scripts_the_page_tells_the_same(browser, made):
    report = made["blocks"]
    slowest, seconds = time_words(stage_seconds(moved(report.summary.transfer), Rates()))
    with shown(browser, report, java_script_enabled=False) as page:
        assert page.locator("#time").text_content() == f"{duration_text(seconds)}, held up by {slowest}"
        assert page.get_by_role("listbox").get_by_role("option").count() == len(report.shown.layers)


def test_on_paper_the_page_is_light_and_unfolded(browser, made):
    with shown(browser, made["goliath"], color_scheme="dark") as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 26)"
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        ground = "getComputedStyle(document.querySelector('.dx-ground')).fill"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        assert not page.locator("#details").is_visible()
        assert not page.locator("#layers table").is_visible()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("#layers table").is_visible()
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert not page.locator("#layers table").is_visible()
