import json

import pytest

from distexpand.errors import RecipeError
from distexpand.recipe.canonical import ModelRef, Rule
from distexpand.recipe.parse import parse_recipe
from tests.recipe.lowered import A, B, identities, layer_indices, lowered, passthrough, scale_of


def short(**content):
    return {"model": "org/a", **content}


def test_layer_map_needs_a_model():
    text = '{"layer_map": [[0, 4], [2, 8]]}'
    recipe = lowered(text, default_model=A)
    assert layer_indices(recipe) == [0, 1, 2, 3, 2, 3, 4, 5, 6, 7]
    assert recipe.base_model == recipe.tokenizer == A
    with pytest.raises(RecipeError, match="the recipe names no model") as caught:
        lowered(text)
    assert "--model" in caught.value.hint


def test_adapter_config():
    content = {
        "peft_type": "LORA",
        "base_model_name_or_path": "org/a",
        "revision": None,
        "r": 8,
        "target_modules": ["q_proj"],
        "layer_replication": [[0, 4], [2, 8]],
    }
    assert lowered(json.dumps(content)).base_model == A
    assert lowered(json.dumps(content | {"revision": "x"})).base_model == ModelRef(name="org/a", revision="x")
    assert lowered(json.dumps(content), default_model=B).base_model == B
    assert len(lowered(json.dumps(content)).layers) == 10
    plus = content | {"base_model_name_or_path": "runs/a+b"}
    assert lowered(json.dumps(plus)).base_model == ModelRef(name="runs/a+b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"peft_type": "LORA"}, "layer_replication: it is missing; this adapter doesn't change the layers"),
        ({"peft_type": "LORA", "layer_replication": None}, "layer_replication: it is null"),
        ({"layer_replication": [[0, 1]]}, "base_model_name_or_path: the adapter names no base model"),
        (
            {"layer_replication": 3, "base_model_name_or_path": "a"},
            "layer_replication: found 3; expected a list",
        ),
        ({"layer_map": []}, "layer_map: found []; expected a list of [start, end]"),
        ({"layer_map": [[0, 4], [4]]}, "layer_map[1]: found [4]; expected [start, end]"),
        ({"layer_map": [[0, 9]]}, "layer_map[0]: found [0, 9], which is out of bounds"),
        ({"layer_map": [[0, 1]], "extra": 1}, "extra: unknown key"),
    ],
)
def test_refused_json(content, message):
    default = A if "layer_map" in content else None
    with pytest.raises(RecipeError) as caught:
        lowered(json.dumps(content), default_model=default)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "form",
    [
        {"block_expansion": {"blocks": 2}},
        {"depth_up_scaling": {"cut": 3}},
        {"repeat": {"layer_range": [1, 3], "times": 2}},
        {"layer_map": [[0, 4], [2, 8]]},
    ],
)
def test_a_shorthand_of_a_model_with_an_adapter(form):
    plain, adapted = lowered({"model": "org/a"} | form), lowered({"model": "org/a+org/b"} | form)
    assert layer_indices(adapted) == layer_indices(plain)
    assert (adapted.base_model, adapted.tokenizer) == (A, A)
    for part in adapted.layers:
        (source,) = part.sources
        assert (source.adapter, source.adapter_layer) == (B, source.layer)
    assert adapted.embeddings.sources[0].adapter == adapted.head.sources[0].adapter == B


@pytest.mark.parametrize(
    ("layers", "blocks", "places"),
    [(32, 8, [3, 7, 11, 15, 19, 23, 27, 31]), (8, 1, [7]), (8, 3, [1, 4, 7]), (4, 4, [0, 1, 2, 3])],
)
def test_interleaved_block_expansion(layers, blocks, places):
    recipe = lowered(short(block_expansion={"blocks": blocks}), num_layers=layers)
    copies = identities(recipe)
    assert [recipe.layers[place].sources[0].layer for place in copies] == places
    assert all(recipe.layers[place - 1].sources == recipe.layers[place].sources for place in copies)
    originals = [layer for place, layer in enumerate(layer_indices(recipe)) if place not in copies]
    assert originals == list(range(layers))


def test_block_expansion_at_the_end_and_by_place():
    at_end = lowered(short(block_expansion={"blocks": 3, "where": "end"}))
    assert layer_indices(at_end) == [*range(8), 7, 7, 7]
    assert identities(at_end) == [8, 9, 10]
    by_place = lowered(short(block_expansion={"after": [5, 0]}))
    assert layer_indices(by_place) == [0, 0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert identities(by_place) == [1, 7]


def test_depth_up_scaling():
    assert layer_indices(lowered(short(depth_up_scaling={"cut": 2}))) == [*range(6), *range(2, 8)]


@pytest.mark.parametrize(
    ("times", "layers"),
    [(1, [*range(8)]), (2, [*range(5), *range(3, 8)]), (3, [0, 1, 2, 3, 4, 3, 4, 3, 4, 5, 6, 7])],
)
def test_repeat(times, layers):
    assert layer_indices(lowered(short(repeat={"layer_range": [3, 5], "times": times}))) == layers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"block_expansion": {}}, "block_expansion: `blocks` is missing"),
        (
            {"block_expansion": {"blocks": 9}},
            "block_expansion.blocks: found 9 blocks; expected at most the 8 layers",
        ),
        ({"block_expansion": {"blocks": 0}}, "block_expansion.blocks: found 0"),
        ({"block_expansion": {"blocks": 10**9, "where": "end"}}, "gives more than 10,000 layers"),
        (
            {"block_expansion": {"blocks": 1, "where": "start"}},
            "where: found 'start'; expected interleaved or end",
        ),
        ({"block_expansion": {"after": [8]}}, "block_expansion.after: found layer 8; expected at most 7"),
        ({"block_expansion": {"after": [1, 1]}}, "found layer 1 twice"),
        ({"block_expansion": {"after": []}}, "block_expansion.after: found []"),
        ({"block_expansion": {"after": [1], "blocks": 1}}, "can't be combined"),
        ({"block_expansion": {"block": 1}}, "block_expansion.block: unknown key; did you mean `blocks`?"),
        ({"depth_up_scaling": {"cut": 8}}, "depth_up_scaling.cut: found 8; expected less than the 8 layers"),
        ({"depth_up_scaling": {"cut": -1}}, "depth_up_scaling.cut: found -1"),
        ({"depth_up_scaling": 8}, "depth_up_scaling: found 8; expected a mapping with the keys cut"),
        (
            {"repeat": {"layer_range": [5, 3], "times": 2}},
            "repeat.layer_range: found [5, 3], which is reversed",
        ),
        (
            {"repeat": {"layer_range": [0, 9], "times": 1}},
            "repeat.layer_range: found [0, 9], which is out of bounds",
        ),
        ({"repeat": {"layer_range": [0, 8], "times": 10**6}}, "gives more than 10,000 layers"),
        (
            {"depth_up_scaling": {"cut": 10**12}},
            "depth_up_scaling.cut: found 1000000000000; expected at most",
        ),
        ({"repeat": {"layer_range": [0, 8]}}, "repeat: `times` is missing"),
        (
            {"repeat": {"layer_range": [0, 8], "times": 2}, "layer_map": [[0, 1]]},
            "found repeat and layer_map",
        ),
        (
            {"depth_up_scaling": {"cut": 1}, "parameters": {}},
            "parameters: `parameters` is not supported: for scales",
        ),
        (
            {"depth_up_scaling": {"cut": 1}, "merge_method": "passthrough"},
            "merge_method: `merge_method` is not supported: a shorthand always copies",
        ),
        (
            {"depth_up_scaling": {"cut": 1}, "slices": []},
            "model: `model` is not supported: with slices, every source names its model",
        ),
    ],
)
def test_refused(content, message):
    with pytest.raises(RecipeError) as caught:
        lowered(short(**content))
    assert message in caught.value.message


def test_no_dialect():
    with pytest.raises(RecipeError, match="did you mean `slices`") as caught:
        parse_recipe("slice: []", origin="r")
    assert "layer_map" in caught.value.hint
    with pytest.raises(RecipeError, match="which is no recipe"):
        parse_recipe("{}", origin="r")
    with pytest.raises(RecipeError, match="the recipe names its model, org/a"):
        lowered(short(depth_up_scaling={"cut": 1}), default_model=B)


def test_attenuation_is_for_later_copies_only():
    content = short(depth_up_scaling={"cut": 2}, attenuate_duplicates={"q_proj": 0.5, "k_proj": 0.25})
    recipe = lowered(content)
    factors = [scale_of(part, "q_proj") for part in recipe.layers]
    assert factors == [1] * 6 + [0.5] * 4 + [1] * 2
    assert scale_of(recipe.layers[6], "k_proj") == 0.25
    assert scale_of(recipe.layers[6], "v_proj") == 1


def test_attenuation_leaves_identity_blocks_alone():
    content = short(block_expansion={"after": [3]}, attenuate_duplicates=[{"filter": "q_proj", "value": 0.5}])
    assert all(part.sources[0].scale == () for part in lowered(content).layers)
    recipe = lowered(passthrough(("a", 0, 1, {"identity": True}), ("a", 0, 1), attenuate_duplicates={"q": 2}))
    assert recipe.layers[1].sources[0].scale == ()


def test_attenuation_multiplies_scales():
    zero = {"parameters": {"scale": [{"filter": "o_proj", "value": 0}, {"filter": "q_proj", "value": 3}]}}
    content = passthrough(("a", 0, 2), ("a", 0, 2, zero), attenuate_duplicates={"q_proj": 0.5})
    assert lowered(content).layers[2].sources[0].scale == (
        Rule(filter="q_proj", value=1.5),
        Rule(filter="o_proj", value=0.0),
    )


def test_attenuation_that_can_not_be_decided_is_refused():
    scale = {"parameters": {"scale": {"filter": "self_attn", "value": 2}}}
    content = passthrough(("a", 0, 2), ("a", 0, 2, scale), attenuate_duplicates={"q_proj": 0.5})
    with pytest.raises(RecipeError, match="`q_proj` and `self_attn` may match the same tensor"):
        lowered(content)
