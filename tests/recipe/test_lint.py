import pytest

from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lint import layer_list, lint_recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from tests.recipe.lowered import passthrough

LAYERS = 8


def findings(document, **counts):
    draft = parse_recipe(str(document), origin="r")
    num_layers = {model: counts.get(model.name, LAYERS) for model in draft.models}
    return lint_recipe(lower(draft, num_layers), num_layers)


def codes(document, **counts):
    return [finding.code for finding in findings(document, **counts)]


def scaled(*pairs):
    return {"parameters": {"scale": [{"filter": name, "value": value} for name, value in pairs]}}


ZERO = scaled(("o_proj", 0), ("down_proj", 0))


@pytest.mark.parametrize(
    ("layers", "text"),
    [([3], "layer 3"), ([3, 4], "layers 3-4"), ([9, 1, 2, 3, 7, 7], "layers 1-3, 7, 9"), ([], "layers ")],
)
def test_layer_list(layers, text):
    assert layer_list(layers) == text


def test_a_recipe_without_findings():
    assert codes(passthrough(("a", 0, 6), ("a", 2, 8))) == []


def test_dropped_layers():
    (finding,) = findings(passthrough(("a", 0, 3), ("a", 5, 7)))
    assert finding.code == "dropped-layers"
    assert finding.message == "layers 3-4, 7 of a (8 layers) occur nowhere in the output"


def test_models_of_equal_depth_stand_in_for_each_other():
    assert codes(passthrough(("a", 0, 4), ("b", 4, 8))) == []
    messages = [finding.message for finding in findings(passthrough(("a", 0, 4), ("b", 4, 6)), b=6)]
    assert messages == [
        "layers 4-7 of a (8 layers) occur nowhere in the output",
        "layers 0-3 of b (6 layers) occur nowhere in the output",
    ]


def test_a_source_of_weight_zero_covers_nothing():
    sources = [
        {"model": "a", "layer_range": [0, 4], "parameters": {"weight": 1}},
        {"model": "b", "layer_range": [4, 8], "parameters": {"weight": 0}},
    ]
    (finding,) = findings({"slices": [{"sources": sources}], "merge_method": "linear"})
    assert "layers 4-7 of a" in finding.message


def test_out_of_order():
    (finding,) = findings(passthrough(("a", 0, 4), ("a", 5, 8), ("a", 3, 6)))
    assert finding.code == "out-of-order"
    assert finding.message.startswith("output layer 7 goes back to layer 3 of a, before layer 5 of a")
    assert codes(passthrough(("a", 0, 8), ("b", 0, 8))) == []


def test_identity_next_to_its_layer_in_any_form():
    for identity in ({"identity": True}, ZERO, scaled(("c_proj", 0))):
        copy = ("a", 3, 4, identity)
        assert codes(passthrough(("a", 0, 4), copy, copy, ("a", 4, 8))) == []
        assert codes(passthrough(("a", 0, 3), copy, ("a", 3, 8))) == []


def test_lonely_identity():
    (finding,) = findings(passthrough(("a", 0, 8), ("b", 7, 8, ZERO), ("b", 7, 8, {"identity": True})))
    assert finding.code == "lonely-identity"
    assert finding.message == (
        "identity copies that don't stand next to what they copy: output layers 8-9 (layer 7 of b)"
    )


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (scaled(("o_proj", 0)), ["half-identity"]),
        (scaled(("down_proj", 0)), ["half-identity"]),
        (scaled(("mlp", 0)), ["half-identity"]),
        (scaled(("o_proj", 0), ("mlp", 0)), []),
        (scaled(("o_proj", 0.5)), []),
        (scaled(("q_proj", 0)), []),
        (scaled(("attention.dense", 0), ("dense_4h_to_h", 0)), []),
        (scaled(("out_proj", 0), ("fc2", 0)), []),
        (scaled(("wo", 0), ("w2", 0)), []),
    ],
)
def test_half_identity(scale, expected):
    assert codes(passthrough(("a", 0, 8), ("a", 7, 8, scale), ("a", 7, 8))) == expected


def test_scaled_outside():
    (finding,) = findings(passthrough(("a", 0, 8, {"parameters": {"scale": 0.5}}), ("a", 7, 8)))
    assert finding.code == "scaled-outside"
    assert finding.message == "scale rules reach the embeddings: multiplied by 0.5"
    assert codes(passthrough(("a", 0, 8, scaled(("norm", 2))))) == ["scaled-outside"]
    assert codes(passthrough(("a", 0, 8, scaled(("q_proj", 2))))) == []


def test_findings_come_in_a_fixed_order():
    document = passthrough(("a", 4, 8), ("b", 0, 2, ZERO), ("a", 6, 7, scaled(("o_proj", 0), ("*", 2))))
    assert codes(document) == [
        "dropped-layers",
        "out-of-order",
        "lonely-identity",
        "half-identity",
        "scaled-outside",
    ]


def test_counts_may_hold_more_models():
    draft = parse_recipe(str(passthrough(("a", 0, 8))), origin="r")
    counts = {ModelRef(name="a"): 8, ModelRef(name="z"): 3}
    assert lint_recipe(lower(draft, counts), counts) == ()
