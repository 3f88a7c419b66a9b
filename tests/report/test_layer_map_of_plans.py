"""The layer map of plans over real files: bytes, shards, tensors outside the stack, the model card."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.goliath import RECIPE, sparse_sources
from benchmarks.measure import ROOT
from distexpand.api import PlannedExpansion, plan_expansion
from distexpand.report.layer_map.layers import layer_map
from distexpand.report.layer_map.svg import map_svg
from distexpand.report.model_card import PICTURE_NAME, plan_title
from tests.api.small import BLOCKS, COPIES, SCALED, small_model

KINDS = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a", fill="hole", layer_types=KINDS)


def planned(model: Path, recipe: str, shard_size: int = 6000) -> PlannedExpansion:
    return plan_expansion(recipe, origin="r.yml", places={"a": str(model)}, shard_size=shard_size)


@given(st.sampled_from([BLOCKS, COPIES, SCALED]), st.integers(500, 50_000))
def test_layers_and_what_lies_outside_them_are_all_there_is(model, recipe, shard_size):
    plan = planned(model, recipe, shard_size).plan
    shown = layer_map(plan, title="t")
    data = sum(shard.size - len(shard.header) for shard in plan.shards)
    outside = sum(tensor.size for tensor in (*shown.before, *shown.after))
    assert sum(layer.size for layer in shown.layers) + outside == data
    assert [tensor.name for tensor in shown.before] == ["model.embed_tokens.weight"]
    assert {tensor.name for tensor in shown.after} == {"model.norm.weight", "lm_head.weight"}
    assert all(tensor.models == ("a",) for tensor in (*shown.before, *shown.after))
    for number, shard in enumerate(shown.shards):
        inside = {layer for first, last in shard.layers for layer in range(first, last + 1)}
        assert inside == {layer.number for layer in shown.layers if number in layer.shards}


def test_layer_types_go_with_their_layers(model):
    shown = layer_map(planned(model, COPIES).plan, title="t")
    assert [layer.kind for layer in shown.layers] == [
        KINDS[layer].replace("_", " ") for layer in (0, 1, 2, 1, 2, 3)
    ]
    assert shown.kinds == ("sliding attention", "full attention")


def test_scales_are_told_with_the_tensors_that_they_touch(model):
    shown = layer_map(planned(model, SCALED).plan, title="t")
    assert [note for (note,) in shown.notes] == ["scale q_=0.7", "scale all=0.5"]
    assert "[1] scale q_=0.7" in map_svg(shown)


def test_the_model_card_shows_the_picture_that_is_beside_it(model):
    plan = planned(model, BLOCKS).plan
    texts = {text.name: text.text for text in plan.texts}
    assert f"]({PICTURE_NAME})" in texts["README.md"]
    assert texts[PICTURE_NAME] == map_svg(layer_map(plan, title=plan_title(plan)))
    assert f"# {plan_title(plan)}\n" in texts["README.md"]


def test_a_notebook_shows_the_plan_as_its_picture(model):
    expansion = planned(model, BLOCKS)
    html = expansion._repr_html_()
    assert html.count("<title>Output layer ") == len(expansion.plan.layers) == 6
    assert "<script" not in html


def test_the_documented_picture_is_what_is_drawn(tmp_path):
    sources = sparse_sources(tmp_path)
    places = {name: str(place) for name, place in sources.items()}
    plan = plan_expansion(RECIPE.read_text(), origin=RECIPE.name, places=places).plan
    drawn = next(text.text for text in plan.texts if text.name == PICTURE_NAME)
    assert (ROOT / "docs" / "layer-map-goliath.svg").read_text() == drawn
