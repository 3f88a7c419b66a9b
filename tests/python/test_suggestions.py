"""A misspelt name is answered with the one that was meant."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distexpand
from distexpand.closeness import closest, did_you_mean
from tests.api.small import BLOCKS
from tests.cli.calls import call


def _refused(recipe: Any, **options: Any) -> str:
    with pytest.raises(distexpand.DistexpandError) as raised:
        distexpand.plan(recipe, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("recipe", "meant"),
    [
        ({"model": "a", "block_expansoin": {"blocks": 1}}, "block_expansion"),
        ({"model": "a", "block_expansion": {"bloks": 1}}, "blocks"),
        ({"model": "a", "layermap": [[0, 4]]}, "layer_map"),
        (
            {
                "merge_method": "passthrough",
                "slices": [{"sources": [{"model": "a", "layer_range": [0, 4], "parameters": {"scael": 1}}]}],
            },
            "scale",
        ),
        ({"model": "a", "layer_map": [[0, 4]], "dtype": "bf16"}, "bfloat16"),
    ],
)
def test_keys_and_parameters_of_recipes(recipe: Any, meant: str, model: Path) -> None:
    assert f"did you mean `{meant}`?" in _refused(recipe, models={"a": model})


def test_names_of_models(model: Path, tmp_path: Path) -> None:
    recipe = {"model": "mistralai/Mistral-7B-v0.1", "layer_map": [[0, 4]]}
    refusal = _refused(recipe, models={"mistral-7b": model})
    assert refusal.endswith("Did you mean mistralai/Mistral-7B-v0.1?")
    assert _refused(BLOCKS, models={"a": tmp_path / "models" / "aa"}).endswith(
        "Did you mean " + str(model) + "?"
    )
    with pytest.raises(distexpand.UsageError, match=r"Did you mean .*models/a\?"):
        distexpand.inspect(tmp_path / "models" / "aa")


def test_filters(model: Path) -> None:
    scale = [{"filter": "o_porj", "value": 0.5}, {"filter": "down_proj", "value": 0.5}, {"value": 1}]
    source = {"model": "a", "layer_range": [0, 4], "parameters": {"scale": scale}}
    recipe = {"merge_method": "passthrough", "slices": [{"sources": [source]}]}
    found = [
        finding
        for finding in distexpand.plan(recipe, models={"a": model}).findings
        if finding.code == "filter-matches-nothing"
    ]
    assert [(finding.message, finding.advice) for finding in found] == [
        ("the filter 'o_porj' matches no tensor of a", "Did you mean o_proj?")
    ]


def test_stacks(model: Path) -> None:
    refusal = _refused({"model": "a", "stack": "model.layer", "layer_map": [[0, 4]]}, models={"a": model})
    assert refusal.endswith("Did you mean model.layers?")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["pln", "r.yml"], "Did you mean 'plan'?"),
        (["jobs", "lits"], "Did you mean 'list'?"),
        (["run", "r.yml", "out", "--resme"], "--resume"),
        (["plan", "r.yml", "--nodes", "2", "--storage", "luster"], "Did you mean lustre?"),
        (["run", "r.yml", "gss://bucket/x"], "Did you mean gs?"),
    ],
)
def test_commands_options_and_their_values(arguments: list[str], meant: str) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert meant in said.err


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=20))
def test_only_another_known_name_is_ever_suggested(name: str, known: list[str]) -> None:
    close = closest(name, known)
    assert not close or (close in known and close != name)
    assert did_you_mean(name, known) == (f"Did you mean {close}?" if close else "")
