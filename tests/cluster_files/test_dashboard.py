"""Dashboard and alerts: every query parses, and asks for counters that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from ray.dashboard.modules.metrics.dashboards import default_dashboard_panels
from ray.dashboard.modules.reporter import reporter_agent

from tests.cluster_files import manifests

DASHBOARD = json.loads((manifests.CLUSTER / "grafana" / "distexpand.json").read_text())
RULES = manifests.load(manifests.CLUSTER / "prometheus" / "distexpand.rules.yml")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


QUERIES = [pytest.param(query, id=name) for name, query in queries()]


def parsed(query: str) -> promql_parser.Expr:
    """Parse a query with Grafana's variables filled in."""
    filled = query.replace("$__rate_interval", "5m").replace("$run", "x")
    assert "$" not in filled
    return promql_parser.parse(filled)


def own_names() -> set[str]:
    """Return the names of our metrics as Ray 2.60 exports them, measured on a running cluster."""
    text = (manifests.ROOT / "distexpand" / "cluster" / "counters.py").read_text()
    found = re.findall(r"(Counter|Histogram)\(\s*\"(distexpand_\w+)\"", text)
    return {f"ray_{name}{suffix}" for kind, name in found for suffix in SUFFIXES[kind.lower()]}


def rays_names() -> set[str]:
    """Return what Ray's own dashboards ask for, and what its agents say of their node."""
    asked = set(re.findall(r"ray_\w+", Path(default_dashboard_panels.__file__).read_text()))
    told = re.findall(r'"(node_\w+)"', Path(reporter_agent.__file__).read_text())
    return asked | {f"ray_{name}" for name in told}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_parse(query: str) -> None:
    assert parsed(query)


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_is_exported(query: str) -> None:
    asked = set(re.findall(r"ray_\w+", query))
    assert asked
    assert asked <= own_names() | rays_names()


def test_every_counter_is_shown() -> None:
    shown = {name for _, query in queries() for name in re.findall(r"ray_distexpand_\w+", query)}
    kinds = {re.sub("_(total|bucket|sum|count)$", "", name) for name in own_names()}
    assert {re.sub("_(total|bucket|sum|count)$", "", name) for name in shown} == kinds


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
