"""`plan --nodes`: what is asked, what is answered, and what is refused."""

from pathlib import Path

import pytest

from tests.cli.calls import Cli


def test_without_nodes_nothing_is_said_of_a_cluster(cli: Cli, model: Path, recipe: Path) -> None:
    planned = cli("plan", recipe, "--model", f"a={model}", "--json")
    assert "cost" not in planned.document


def test_json_has_the_cost(cli: Cli, model: Path, recipe: Path) -> None:
    options = ("--nodes", 4, "--network", "25Gbps", "--storage", "s3,gets=11000", "--per-node", 3)
    planned = cli("plan", recipe, "--model", f"a={model}", *options, "--json")
    assert planned.code == 0
    cost = planned.document["cost"]
    assert (cost["nodes"], cost["per_node"], cost["network"]) == (4, 3, 3.125e9)
    assert cost["storage"]["gets"] == 11000
    assert cost["storage"]["read"] is None
    assert cost["seconds"]["total"] > cost["seconds"]["start"] > 0
    assert cost["bottleneck"] in cost["bounds"]
    assert cost["memory"] > planned.document["memory"]["expected_peak"]


def test_people_are_told_the_same(cli: Cli, model: Path, recipe: Path) -> None:
    planned = cli("plan", recipe, "--model", f"a={model}", "--nodes", 64, "--storage", "nfs")
    assert planned.code == 0
    for word in ("held up by", "whole shards", "efficiency", "memory in all", "enough", "1.25 GB/s each"):
        assert word in planned.out
    assert "nodes do as well" in planned.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--network", "25Gbps"), "--network goes with --nodes"),
        (("--storage", "s3"), "--storage goes with --nodes"),
        (("--per-node", 2), "--per-node goes with --nodes"),
        (("--nodes", 0), "--nodes"),
        (("--nodes", 2, "--network", "fast"), "--network 'fast' is not a rate"),
        (("--nodes", 2, "--storage", "tape"), "unknown kind of storage 'tape'"),
        (("--nodes", 2, "--storage", "nvme"), "one machine's own disk"),
    ],
)
def test_what_is_refused(cli: Cli, model: Path, recipe: Path, options: tuple[object, ...], said: str) -> None:
    planned = cli("plan", recipe, "--model", f"a={model}", *options)
    assert (planned.code, planned.out) == (2, "")
    assert said in planned.err
