import json

import pytest
import yaml
from hypothesis import assume, given

from distexpand.errors import RecipeError
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from tests.recipe.lowered import A, B, lowered, passthrough
from tests.recipe.strategies import LAYERS, documents, unhurried


def lowered_or_skipped(content):
    """Lower a random document; weights that happen to add up to 0 are no recipe."""
    try:
        return lowered(content, num_layers=LAYERS)
    except RecipeError as error:
        assume("add up to 0" not in error.message)
        raise


@unhurried
@given(documents)
def test_canonical_text_gives_the_recipe_back(document):
    recipe = lowered_or_skipped(document)
    text = canonical_yaml(recipe)
    assert lowered(text, num_layers=LAYERS) == recipe
    assert canonical_yaml(lowered(text, num_layers=LAYERS)) == text


@unhurried
@given(documents)
def test_json_means_the_same_as_yaml(document):
    recipe = lowered_or_skipped(document)
    assert lowered(json.dumps(document, ensure_ascii=False), num_layers=LAYERS) == recipe
    assert lowered(json.dumps(document, ensure_ascii=False, indent="\t"), num_layers=LAYERS) == recipe


@unhurried
@given(documents)
def test_models_are_the_same_before_and_after_lowering(document):
    recipe = lowered_or_skipped(document)
    draft = parse_recipe(yaml.safe_dump(document), origin="r")
    assert set(draft.models) == set(recipe.models())
    assert set(draft.adapters) == set(recipe.adapters())
    in_layers = {source.model for part in recipe.layers for source in part.sources}
    assert set(draft.layered_models) == in_layers


def test_continuing_layers_are_one_slice():
    recipe = lowered(passthrough(("a", 0, 2), ("a", 2, 4), ("a", 3, 8), dtype="bfloat16"))
    assert canonical_yaml(recipe) == (
        "slices:\n"
        "- sources:\n"
        "  - model: a\n"
        "    layer_range: [0, 4]\n"
        "- sources:\n"
        "  - model: a\n"
        "    layer_range: [3, 8]\n"
        "merge_method: passthrough\n"
        "base_model: a\n"
        "dtype: bfloat16\n"
    )


def test_layers_of_an_adapter_continue_with_those_of_the_model():
    recipe = lowered(
        passthrough(
            ("a+b", 0, 2), ("a+b", 2, 3, {"adapter_range": [2, 3]}), ("a+b", 1, 4, {"adapter_range": [3, 6]})
        )
    )
    assert canonical_yaml(recipe) == (
        "slices:\n"
        "- sources:\n"
        "  - model: a+b\n"
        "    layer_range: [0, 3]\n"
        "- sources:\n"
        "  - model: a+b\n"
        "    layer_range: [1, 4]\n"
        "    adapter_range: [3, 6]\n"
        "merge_method: passthrough\n"
        "base_model: a\n"
    )


def test_extensions_appear_only_where_needed():
    text = canonical_yaml(lowered({"model": "a", "block_expansion": {"after": [7]}}))
    assert text.count("identity: true") == 1
    assert "embeddings" not in text
    assert "head" not in text


def test_gradient_over_one_layer_needs_the_embeddings_written_out():
    scale = {"parameters": {"scale": [0.5, 2.0]}}
    text = canonical_yaml(lowered(passthrough(("a", 0, 1, scale), ("a", 1, 2))))
    content = yaml.safe_load(text)
    assert content["slices"][0]["sources"][0]["parameters"] == {"scale": 2.0}
    assert content["embeddings"]["sources"] == [{"model": "a", "parameters": {"scale": 0.5}}]
    assert "head" not in content


@pytest.mark.parametrize("name", ["a+b", "a@b", "base", "union", "model:x", "1e5", "yes", "ü x", "{", "#"])
def test_any_model_name_survives(name):
    model = ModelRef(name=name)
    draft = parse_recipe('{"layer_map": [[0, 2]]}', origin="r", default_model=model)
    recipe = lower(draft, {model: 2})
    other = Recipe(
        method=recipe.method,
        layers=recipe.layers,
        embeddings=recipe.embeddings,
        head=recipe.head,
        base_model=A,
        tokenizer=model,
    )
    for candidate in (recipe, other):
        draft = parse_recipe(canonical_yaml(candidate), origin="c")
        assert lower(draft, {model: 2, A: 2, B: 2}) == candidate
