"""Saved plans: they tell and do the same as the recipe that they were made of."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from distexpand.api import NEEDS_TORCH
from tests.api.small import SCALED, tree
from tests.cli.calls import Cli, Result, command

WARNED = "{model: a, layer_map: [[0, 3]]}"


@pytest.fixture
def warned(recipe: Path) -> Path:
    """A recipe with a finding."""
    recipe.write_text(WARNED)
    return recipe


@pytest.fixture
def saved(cli: Cli, model: Path, warned: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    assert cli("plan", warned, "--model", f"a={model}", "--save", path).code == 0
    return path


FREE_SPACE = re.compile(r"[0-9.]+ .?B free")
"""Others write to this disk as well."""


def without_free_space(result: Result) -> dict:
    document = result.document
    del document["disk"]["free"]
    return document


def test_a_saved_plan_is_shown_as_its_recipe(cli: Cli, model: Path, warned: Path, saved: Path) -> None:
    expected = without_free_space(cli("plan", warned, "--model", f"a={model}", "--json"))
    assert expected["findings"]
    assert expected["layers"]["before"] == 4
    assert without_free_space(cli("plan", saved, "--json")) == expected
    shown, again = cli("plan", saved).out, cli("plan", warned, "--model", f"a={model}").out
    assert FREE_SPACE.sub("", shown) == FREE_SPACE.sub("", again)
    assert cli("plan", saved, "--canonical").out.startswith("slices:")


def test_a_saved_plan_is_as_strict_as_its_recipe(
    cli: Cli, model: Path, warned: Path, saved: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    expected = cli("run", warned, out, "--model", f"a={model}", "--strict")
    assert expected.code == 2
    assert cli("run", saved, out, "--strict") == expected
    assert not out.exists()
    done = cli("run", saved, out)
    assert done.code == 0
    assert "warning: " in done.err


@pytest.mark.parametrize("option", [("--model", "a=x"), ("--shard-size", "5GB"), ("--layout", "layers")])
def test_what_a_plan_has_settled_can_not_be_given(
    cli: Cli, saved: Path, tmp_path: Path, option: tuple[str, str]
) -> None:
    for arguments in (("run", saved, tmp_path / "out"), ("plan", saved)):
        refused = cli(*arguments, *option)
        assert refused.code == 2
        assert f"{option[0]} has no meaning with a saved plan" in refused.err
    assert not (tmp_path / "out").exists()


def test_a_saved_plan_from_standard_input(cli: Cli, saved: Path, tmp_path: Path) -> None:
    assert cli("run", saved, tmp_path / "one", "--quiet").code == 0
    piped = subprocess.run(
        command("run", "-", tmp_path / "two", "--quiet"),
        input=saved.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_saving_replaces_nothing_but_a_saved_plan(
    cli: Cli, model: Path, warned: Path, saved: Path, tmp_path: Path
) -> None:
    save = ("plan", warned, "--model", f"a={model}", "--save")
    before = warned.read_bytes()
    refused = cli(*save, warned)
    assert refused.code == 2
    assert "isn't a saved plan" in refused.err
    assert warned.read_bytes() == before
    assert cli(*save, saved).code == 0
    assert cli(*save, "/dev/full").code == 2
    assert cli(*save, tmp_path / "none" / "plan.json").code == 1
    assert cli(*save, tmp_path / ("x" * 300)).code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"models", "recipe.yml", "plan.json"}


def test_a_save_that_fails_leaves_the_old_plan(
    cli: Cli, model: Path, warned: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(path: Path, raw: bytes) -> int:
        with path.open("wb") as file:
            file.write(raw[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    failed = cli("plan", warned, "--model", f"a={model}", "--save", saved)
    assert failed.code == 1
    assert "No space left" in failed.err
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"findings": [{"code": 1}]},
        {"findings": 3},
        {"layers_before": "4"},
        {"remapped_keys": [1]},
        {"distexpand_plan": 99},
    ],
)
def test_a_damaged_first_line(cli: Cli, saved: Path, tmp_path: Path, change: dict) -> None:
    head, plan = saved.read_bytes().split(b"\n", 1)
    saved.write_bytes(json.dumps({**json.loads(head), **change}).encode() + b"\n" + plan)
    refused = cli("run", saved, tmp_path / "out")
    assert refused.code == 2
    assert str(saved) in refused.err


def test_a_missing_torch_is_told_by_the_plan(
    cli: Cli, model: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.write_text(SCALED)
    saved = tmp_path / "plan.json"
    monkeypatch.setattr("distexpand.api.expansion.find_spec", lambda _name: None)
    lacking = cli("plan", recipe, "--model", f"a={model}", "--save", saved, "--json")
    assert NEEDS_TORCH in {finding["code"] for finding in lacking.document["findings"]}
    monkeypatch.setattr("distexpand.api.expansion.find_spec", lambda _name: object())
    there = cli("plan", saved, "--json")
    assert NEEDS_TORCH not in {finding["code"] for finding in there.document["findings"]}
    recipe.write_text(WARNED)
    monkeypatch.setattr("distexpand.api.expansion.find_spec", lambda _name: None)
    copies = cli("plan", recipe, "--model", f"a={model}", "--json")
    assert NEEDS_TORCH not in {finding["code"] for finding in copies.document["findings"]}
