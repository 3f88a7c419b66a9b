"""`distexpand.plan`: every way to give a recipe means the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import distexpand
from tests.api.small import BLOCKS, SCALED, small_plan

DATA: dict[str, Any] = yaml.safe_load(BLOCKS)


@pytest.fixture(params=["path", "text of a path", "YAML", "JSON", "data", "data with tuples"])
def given(request: pytest.FixtureRequest, recipe: Path) -> Any:
    ways: dict[str, Any] = {
        "path": recipe,
        "text of a path": str(recipe),
        "YAML": yaml.safe_dump(DATA, default_flow_style=False),
        "JSON": json.dumps(DATA),
        "data": DATA,
        "data with tuples": {"model": "a", "block_expansion": {"blocks": 2, "where": "interleaved"}},
    }
    return ways[request.param]


def test_a_recipe_is_a_path_a_text_or_data(given: Any, model: Path) -> None:
    planned = distexpand.plan(given, models={"a": model}, shard_size=5000)
    assert planned.digest == distexpand.plan(BLOCKS, models={"a": str(model)}, shard_size="5000B").digest
    assert planned.plan == small_plan(BLOCKS, model)


def test_the_model_of_a_recipe_that_names_none_is_given_by_its_place(model: Path) -> None:
    planned = distexpand.plan({"layer_map": ((0, 3), (1, 4))}, model=model, layout="by-source")
    assert [layer.layer for layer in planned.plan.layers] == [0, 1, 2, 1, 2, 3]


def test_a_path_in_data_is_a_model(model: Path) -> None:
    assert len(distexpand.plan({"model": model, "layer_map": [[0, 4], [2, 4]]}).plan.layers) == 6


def test_a_plan_is_shown_in_a_line_and_printed_as_a_report(model: Path) -> None:
    planned = distexpand.plan(BLOCKS, models={"a": model}, shard_size=5000)
    line = "<PlannedExpansion: 4 to 6 layers, 13K parameters, "
    assert repr(planned).startswith(line)
    assert "\n" not in repr(planned)
    assert "2 identity blocks, 2 new" in str(planned)
    assert planned.summary().layers_new == 2


def test_a_kept_plan_is_a_recipe_like_any_other(model: Path, tmp_path: Path) -> None:
    planned = distexpand.plan(SCALED, models={"a": model}, shard_size=5000)
    kept = tmp_path / "scaled.plan"
    distexpand.save_plan(planned, kept)
    assert distexpand.plan(kept) == planned
    with pytest.raises(distexpand.UsageError, match="shard_size has no meaning with a plan"):
        distexpand.plan(kept, shard_size="5GB")


def test_an_error_shows_its_hint(model: Path, recipe: Path) -> None:
    with pytest.raises(distexpand.UsageError) as raised:
        distexpand.plan(BLOCKS, models={"b": model})
    assert str(raised.value) == f"models={{'b': '...'}}: the recipe names no such model\n{raised.value.hint}"
    assert raised.value.hint.startswith("It names a.")
    with pytest.raises(distexpand.UsageError, match=r"(?s)can't read the recipe.*Did you mean .*recipe\.yml"):
        distexpand.plan(recipe.with_name("recipy.yml"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shard_size": "5 elephants"}, r"shard_size '5 elephants' is not a size"),
        ({"shard_size": 0}, r"shard_size 0 is not a size"),
        ({"layout": "by_source"}, r"(?s)layout 'by_source'.*Did you mean by-source\?"),
    ],
)
def test_bad_arguments_are_told_apart_from_bad_recipes(
    arguments: dict[str, Any], message: str, model: Path
) -> None:
    with pytest.raises(distexpand.UsageError, match=message):
        distexpand.plan(BLOCKS, models={"a": model}, **arguments)


@pytest.mark.parametrize("strange", [{"model": object()}, {"model": {1, 2}}, {"model": float("nan")}])
def test_data_that_no_recipe_holds_is_refused(strange: dict[str, Any]) -> None:
    with pytest.raises(distexpand.DistexpandError, match="the recipe"):
        distexpand.plan({**strange, "layer_map": [[0, 1]]})
