"""`plan --html`, `--svg` and `--png`: what is written, and what is never written over."""

from pathlib import Path

import pytest

from tests.cli.calls import Cli

OPTIONS = ("--html", "--svg", "--png")


@pytest.fixture(params=OPTIONS)
def option(request: pytest.FixtureRequest) -> str:
    if request.param == "--png":
        pytest.importorskip("resvg_py")
    return str(request.param)


def test_a_map_is_written_and_its_earlier_version_replaced(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "map"
    plain = cli("plan", recipe, "--model", model)
    for _ in range(2):
        assert cli("plan", recipe, "--model", model, option, file) == plain
    first = file.read_bytes()
    assert len(first) > 1000
    file.write_bytes(first[:600])
    assert cli("plan", recipe, "--model", model, option, file, "--canonical").out.startswith("slices:")
    assert file.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(["map", recipe.name])


def test_no_other_file_is_written_over(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "map"
    file.write_text("<!doctype html><title>mine</title>")
    refused = cli("plan", recipe, "--model", model, option, file)
    assert refused.code == 2
    assert f"{file}: exists and isn't a layer map of distexpand" in refused.err
    assert file.read_text() == "<!doctype html><title>mine</title>"


def test_a_file_that_can_not_be_written_is_named(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path, option: str
) -> None:
    refused = cli("plan", recipe, "--model", model, option, tmp_path / "nowhere" / "map")
    assert refused.code == 1
    assert str(tmp_path / "nowhere" / "map") in refused.err


def test_the_page_says_what_a_cluster_would_make_of_it(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path
) -> None:
    file = tmp_path / "map.html"
    without = ["plan", recipe, "--model", model, "--html", file]
    assert cli(*without).code == 0
    assert "On a cluster" not in file.read_text()
    assert cli(*without, "--nodes", "4").code == 0
    assert "held up by" in file.read_text().partition("On a cluster")[2]
    assert "4 nodes" in file.read_text().partition("On a cluster")[2]
