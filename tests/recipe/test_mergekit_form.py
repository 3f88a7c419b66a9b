import pytest

from distexpand.errors import RecipeError
from distexpand.formats.dtypes import DType
from distexpand.recipe.canonical import MergeMethod, ModelRef, Rule
from distexpand.recipe.parse import parse_recipe
from tests.recipe.lowered import identities, layer_indices, lowered, passthrough, scale_of

ONE = {"sources": [{"model": "a", "layer_range": [0, 2]}]}


def linear(*sources, **top):
    return {"slices": [{"sources": list(sources)}], "merge_method": "linear", **top}


def weighted(model, weight, start=0, end=2):
    return {"model": model, "layer_range": [start, end], "parameters": {"weight": weight}}


def test_everything_of_a_plain_recipe():
    recipe = lowered(
        passthrough(
            ("org/a", 0, 3),
            ("org/b@rev", 1, 4),
            dtype="bfloat16",
            out_dtype="torch.float16",
            tokenizer_source="org/t",
        )
    )
    assert recipe.method is MergeMethod.PASSTHROUGH
    assert layer_indices(recipe) == [0, 1, 2, 1, 2, 3]
    assert recipe.layers[3].sources[0].model == ModelRef(name="org/b", revision="rev")
    assert recipe.embeddings.sources[0].model == recipe.base_model == ModelRef(name="org/a")
    assert recipe.head.sources[0].model == ModelRef(name="org/b", revision="rev")
    assert recipe.embeddings.sources[0].layer is None
    assert (recipe.dtype, recipe.out_dtype) == (DType.BF16, DType.F16)
    assert recipe.tokenizer == ModelRef(name="org/t")


def test_levels_fall_through_where_no_filter_matches():
    document = passthrough(
        ("a", 0, 1, {"parameters": {"scale": [{"filter": "q_proj", "value": 2}]}}),
        ("a", 1, 2, {"parameters": {"scale": []}}),
        parameters={"scale": [{"filter": "proj", "value": 5}]},
    )
    document["slices"][0]["parameters"] = {"scale": {"filter": "k_proj", "value": 3}}
    first, second = lowered(document).layers
    assert [scale_of(first, name) for name in ("q_proj", "k_proj", "v_proj", "norm")] == [2, 3, 5, 1]
    assert [scale_of(second, name) for name in ("q_proj", "norm")] == [5, 1]


def test_gradient_runs_over_the_slice_and_starts_at_the_embeddings():
    recipe = lowered(passthrough(("a", 0, 5, {"parameters": {"scale": [0, 1, "3e0"]}})))
    assert [scale_of(part, "x") for part in recipe.layers] == [0, 0.5, 1, 2, 3]
    assert scale_of(recipe.embeddings, "x") == scale_of(recipe.head, "x") == 0


def test_gradient_over_one_layer_is_its_end():
    recipe = lowered(passthrough(("a", 0, 1, {"parameters": {"scale": {"filter": "x", "value": [2, 4]}}})))
    assert scale_of(recipe.layers[0], "x") == 4
    assert scale_of(recipe.embeddings, "x") == 2


def test_repeat_gives_every_copy_its_own_gradient():
    document = passthrough(("a", 0, 3, {"parameters": {"scale": [2, 4]}}))
    document["slices"][0]["repeat"] = 2
    recipe = lowered(document)
    assert layer_indices(recipe) == [0, 1, 2, 0, 1, 2]
    assert [scale_of(part, "x") for part in recipe.layers] == [2, 3, 4, 2, 3, 4]


@pytest.mark.parametrize("everything", ["*", "", None])
def test_filters_that_match_everything(everything):
    scale = [{"filter": "q", "value": 2}, {"filter": everything, "value": 3}, {"filter": "z", "value": 4}]
    recipe = lowered(passthrough(("a", 0, 1, {"parameters": {"scale": scale}})))
    assert recipe.layers[0].sources[0].scale == (Rule(filter="q", value=2.0), Rule(filter=None, value=3.0))


def test_rules_that_change_nothing_disappear():
    scale = [{"filter": "o_proj", "value": 0}, {"filter": "self_attn.o_proj", "value": 7}, {"value": 1.0}]
    recipe = lowered(passthrough(("a", 0, 1, {"parameters": {"scale": scale}})))
    assert recipe.layers[0].sources[0].scale == (Rule(filter="o_proj", value=0.0),)


def test_identity_is_of_its_layers_only():
    recipe = lowered(passthrough(("a", 0, 2, {"identity": True}), ("a", 2, 4)))
    assert identities(recipe) == [0, 1]
    assert not recipe.embeddings.identity


def test_linear_takes_sources_by_position_and_normalizes_unless_told_otherwise():
    recipe = lowered(linear(weighted("a", 1), weighted("a", [0, 2], 4, 6)))
    assert [[source.layer for source in part.sources] for part in recipe.layers] == [[0, 4], [1, 5]]
    assert [part.sources[1].weight[0].value for part in recipe.layers] == [0, 2]
    assert recipe.embeddings.sources[1].weight[0].value == 0
    assert recipe.layers[0].normalize
    document = linear(weighted("a", 1), weighted("b", -1), parameters={"normalize": False})
    assert not lowered(document).layers[0].normalize
    document["slices"][0]["parameters"] = {"normalize": 1.0}
    with pytest.raises(RecipeError, match=r"slices\[0\]: the weights of its sources add up to 0"):
        lowered(document)


def test_whole_models():
    document = {"models": [{"model": "a"}], "merge_method": "passthrough"}
    assert layer_indices(lowered(document, num_layers=4)) == [0, 1, 2, 3]
    two = [{"model": "a", "parameters": {"weight": 1}}, {"model": "b", "parameters": {"weight": 2}}]
    recipe = lowered({"models": two, "merge_method": "linear"}, num_layers=4)
    assert [len(part.sources) for part in recipe.layers] == [2] * 4
    joined = lowered(
        {"models": two, "merge_method": "linear", "base_model": "c", "parameters": {"weight": 3}}
    )
    assert [str(source.model) for source in joined.layers[0].sources] == ["a", "b", "c"]


def test_whole_models_of_different_depth():
    two = [{"model": "a"}, {"model": "b"}]
    text = str({"models": two, "merge_method": "linear", "parameters": {"weight": 1}})
    draft = parse_recipe(text, origin="r")
    from distexpand.recipe.lower import lower  # noqa: PLC0415

    with pytest.raises(RecipeError, match="models: found sources of different lengths: 4 of a, 5 of b"):
        lower(draft, {ModelRef(name="a"): 4, ModelRef(name="b"): 5})


def test_single_module():
    document = passthrough(("a", 0, 2))
    document["modules"] = {"text": {"slices": document.pop("slices")}}
    assert layer_indices(lowered(document)) == [0, 1]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("a", ModelRef(name="a")),
        ("a@r", ModelRef(name="a", revision="r")),
        ({"model": "a@r"}, ModelRef(name="a", revision="r")),
        ({"model": {"path": "a+b@c"}}, ModelRef(name="a+b@c")),
        ({"model": {"path": "a", "revision": "r"}, "lora": None}, ModelRef(name="a", revision="r")),
    ],
)
def test_model_references(model, expected):
    assert lowered(passthrough((model, 0, 1))).base_model == expected


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("a+b", ModelRef(name="b")),
        ("a@r+b@s", ModelRef(name="b", revision="s")),
        ({"model": "a", "lora": "b@s"}, ModelRef(name="b", revision="s")),
        ({"model": "a@r", "lora": {"path": "b+c@d"}}, ModelRef(name="b+c@d")),
        ({"model": {"path": "a"}, "lora": {"path": "b", "revision": "s"}}, ModelRef(name="b", revision="s")),
    ],
)
def test_adapters_of_sources(model, adapter):
    recipe = lowered(passthrough((model, 2, 4), ("a", 0, 1)))
    assert recipe.base_model.name == "a"
    assert recipe.adapters() == (adapter,)
    first, second, plain = (part.sources[0] for part in recipe.layers)
    assert (first.adapter, first.adapter_layer, second.adapter_layer) == (adapter, 2, 3)
    assert (plain.adapter, plain.adapter_layer) == (None, None)
    (embeddings,), (head,) = recipe.embeddings.sources, recipe.head.sources
    assert (embeddings.adapter, embeddings.adapter_layer) == (adapter, None)
    assert head.adapter is None


def test_layers_of_an_adapter_under_other_numbers():
    recipe = lowered(passthrough(("a+b", 0, 3), ("a+b", 1, 4, {"adapter_range": [3, 6]})))
    assert layer_indices(recipe) == [0, 1, 2, 1, 2, 3]
    assert [part.sources[0].adapter_layer for part in recipe.layers] == [0, 1, 2, 3, 4, 5]


def test_the_base_model_gives_config_and_tokenizer_without_its_adapter():
    recipe = lowered(passthrough(("a", 0, 2), base_model="a+b"))
    assert (str(recipe.base_model), str(recipe.tokenizer)) == ("a", "a")
    assert recipe.adapters() == ()


def test_a_base_model_with_an_adapter_joins_whole_models():
    document = {"models": [{"model": "a"}], "merge_method": "linear", "parameters": {"weight": 1}}
    recipe = lowered(document | {"base_model": "a+b"})
    assert [str(source.adapter) for source in recipe.layers[0].sources] == ["None", "b"]
    recipe = lowered(document | {"models": [{"model": "a+b"}], "base_model": "a+b"})
    assert [str(source.adapter) for source in recipe.layers[0].sources] == ["b"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [("base", "a"), ("c", "c"), ("model:c@r", "c@r"), ({"model": {"path": "base"}}, "base")],
)
def test_tokenizer_sources(source, expected):
    assert str(lowered(passthrough(("a", 0, 1), tokenizer_source=source)).tokenizer) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"merge_method": "slerp"},
            "merge_method: merge method 'slerp' is not supported; expected passthrough or linear",
        ),
        ({"merge_method": None}, "`merge_method` is missing"),
        ({"slices": []}, "found none of slices, models, modules; expected exactly one"),
        ({"models": [{"model": "a"}]}, "found slices and models of"),
        ({"slices": {}}, "slices: found an empty mapping; expected a list of slices"),
        ({"slices": ["a"]}, "slices[0]: found 'a'; expected a mapping"),
        ({"slices": [{}]}, "slices[0]: `sources` is missing"),
        ({"slices": [{"sources": []}]}, "slices[0].sources: found []"),
        ({"slices": [{"source": []}]}, "slices[0].source: unknown key; did you mean `sources`?"),
        (
            {"slices": [ONE | {"residual_weight": 1}]},
            "slices[0].residual_weight: `residual_weight` is not supported",
        ),
        ({"slices": [ONE | {"base_model": "a"}]}, "slices[0].base_model: `base_model` is not supported"),
        (
            {"slices": [ONE | {"repeat": 0}]},
            "slices[0].repeat: found 0; expected a whole number of at least 1",
        ),
        ({"slices": [ONE | {"repeat": True}]}, "slices[0].repeat: found True"),
        ({"slices": [ONE | {"repeat": 10**9}]}, "slices[0]: the recipe gives more than 10,000 layers"),
        ({"slices": [ONE] * 10_001}, "slices: found 10,001 items; expected at most 10,000"),
        ({"dtype": "int4"}, "dtype: found 'int4'; expected one of bfloat16, float16, float32, float64"),
        ({"out_dtype": 16}, "out_dtype: found 16; expected one of"),
        (
            {"tokenizer_source": "union"},
            "tokenizer_source: `union` is not supported: it makes new embeddings",
        ),
        ({"tokenizer": {"source": "union"}}, "tokenizer: `tokenizer` is not supported"),
        ({"tokenizer_source": "a+b"}, "tokenizer_source: found a with the adapter b; expected a model alone"),
        ({"chat_template": "auto"}, "chat_template: `chat_template` is not supported"),
        ({"block_expansion": {}}, "block_expansion: `block_expansion` is not supported: it is a shorthand"),
        ({"dtpye": "float16"}, "dtpye: unknown key; did you mean `dtype`?"),
        ({"parameters": {"int8_mask": True}}, "parameters.int8_mask: `int8_mask` is not supported"),
        (
            {"parameters": {"weight": 1}},
            "parameters.weight: `weight` is not supported: it belongs to merge_method linear",
        ),
        ({"parameters": {"sclae": 1}}, "parameters.sclae: unknown key; did you mean `scale`?"),
        ({"parameters": {"scale": "x"}}, "parameters.scale: found 'x'; expected a number"),
        ({"parameters": {"scale": True}}, "parameters.scale: found True; expected a number"),
        ({"parameters": {"scale": float("inf")}}, "parameters.scale: found inf; expected a finite number"),
        ({"parameters": {"scale": "nan"}}, "parameters.scale: found 'nan'; expected a finite number"),
        ({"parameters": {"scale": 10**400}}, "parameters.scale: found a number of more than 30 digits"),
        ({"parameters": {"scale": [1, True]}}, "parameters.scale[1]: found True; expected a number"),
        ({"parameters": {"scale": [1, {"value": 2}]}}, "parameters.scale[0]: found 1; expected a mapping"),
        ({"parameters": {"scale": [{"filter": "a"}]}}, "parameters.scale[0]: `value` is missing"),
        ({"parameters": {"scale": {"filter": 3, "value": 1}}}, "parameters.scale.filter: found 3"),
        (
            {"parameters": {"scale": {"value": []}}},
            "parameters.scale.value: found []; expected a list of numbers",
        ),
        ({"parameters": {"scale": {"value": {}}}}, "parameters.scale.value: found an empty mapping"),
        ({"parameters": {"scale": [{"filter": "a", "value": 1}] * 101}}, "expected at most 100"),
        ({"parameters": []}, "parameters: found []; expected a mapping"),
        ({"attenuate_duplicates": 0.5}, "attenuate_duplicates: found 0.5; expected a list"),
        (
            {"attenuate_duplicates": [{"filter": "a", "value": [1, 2]}]},
            "attenuate_duplicates[0].value: found [1, 2]",
        ),
        (
            {"head": {"sources": [{"model": "a", "layer_range": [0, 1]}]}},
            "head.sources[0].layer_range: unknown key",
        ),
        ({"embeddings": {"sources": [{"model": "a"}] * 2}}, "embeddings: found 2 sources (a, a)"),
    ],
)
def test_refused(change, message):
    with pytest.raises(RecipeError) as caught:
        lowered({"slices": [ONE], "merge_method": "passthrough"} | change)
    assert message in caught.value.message
    assert caught.value.message.startswith("recipe.yml: ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"model": "a+b+c"}, "model: found 'a+b+c'; expected a model and one adapter at most"),
        ({"model": "a+"}, "model: found ''; expected a model"),
        ({"model": "+a"}, "model: found ''; expected a model"),
        ({"model": {"model": "a", "lora": 3}}, "model.lora: found 3; expected a model"),
        ({"adapter_range": [0, 2]}, "adapter_range: a is named without an adapter; expected `model+adapter`"),
        (
            {"model": "a+b", "adapter_range": [0, 3]},
            "layer_range: found [0, 3] as layers of the adapter b; expected as many as the model's, 2",
        ),
        ({"model": "a+b", "adapter_range": [-1, 1]}, "layer_range: found [-1, 1] as layers of the adapter b"),
        ({"model": "a+b", "adapter_range": 3}, "adapter_range: found 3; expected [start, end]"),
        ({"model": {"path": "a"}}, "model.path: unknown key"),
        ({"model": "a@b@c"}, "with one `@` at most"),
        ({"model": "@b"}, "with one `@` at most"),
        ({"model": "a@"}, "with one `@` at most"),
        ({"model": ""}, "model: found ''; expected a model"),
        ({"model": 123}, "model: found 123; expected a model"),
        ({"model": None}, "slices[0].sources[0]: `model` is missing"),
        ({"layer_range": None}, "slices[0].sources[0]: `layer_range` is missing"),
        ({"layer_range": "0, 2"}, "layer_range: found '0, 2'; expected [start, end]"),
        ({"layer_range": [1]}, "layer_range: found [1]; expected [start, end]"),
        ({"layer_range": [0, 1, 2]}, "layer_range: found [0, 1, 2]"),
        ({"layer_range": [0, 1.5]}, "layer_range: found [0, 1.5]"),
        ({"layer_range": [False, True]}, "layer_range: found [False, True]"),
        (
            {"layer_range": [5, 2]},
            "layer_range: found [5, 2], which is reversed; expected 0 <= start < end <= 8",
        ),
        ({"layer_range": [2, 2]}, "layer_range: found [2, 2], which is empty"),
        (
            {"layer_range": [0, 9]},
            "layer_range: found [0, 9], which is out of bounds; expected 0 <= start < end <= 8",
        ),
        ({"layer_range": [-1, 2]}, "layer_range: found [-1, 2], which is out of bounds"),
        ({"layer_range": [0, 10**40]}, "layer_range: found [0, a number of more than 30 digits]; expected"),
        ({"layer_rnage": [0, 2]}, "layer_rnage: unknown key; did you mean `layer_range`?"),
        ({"identity": "yes"}, "identity: found 'yes'; expected true or false"),
        ({"parameters": {"normalize": True}}, "parameters.normalize: `normalize` is not supported"),
    ],
)
def test_refused_in_a_source(source, message):
    with pytest.raises(RecipeError) as caught:
        lowered({"slices": [{"sources": [ONE["sources"][0] | source]}], "merge_method": "passthrough"})
    assert caught.value.message.startswith("recipe.yml: slices[0].sources[0]")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (linear({"model": "a", "layer_range": [0, 2]}), "slices[0].sources[0]: found no weight"),
        (
            linear(weighted("a", {"filter": "q", "value": 1})),
            "slices[0].sources[0]: found only weights with a filter",
        ),
        (
            linear(weighted("a", 1), weighted("b", 1, 0, 3)),
            "slices[0]: found sources of different lengths: 2 of a, 3 of b",
        ),
        (linear(weighted("a", 0)), "add up to 0"),
        (linear(weighted("a", 1), parameters={"scale": 1}), "parameters.scale: `scale` is not supported"),
        (linear(weighted("a", 1) | {"identity": True}), "identity blocks are for merge_method passthrough"),
        (linear(weighted("a", 1), attenuate_duplicates={"q": 0.5}), "is for merge_method passthrough"),
        (linear(weighted("a", 1), parameters={"normalize": "maybe"}), "parameters.normalize: found 'maybe'"),
        (linear(*[weighted("a", 1)] * 65), "slices[0].sources: found 65 items; expected at most 64"),
        (
            {
                "slices": [{"sources": [{"model": "a", "layer_range": [0, 1]}] * 2}],
                "merge_method": "passthrough",
            },
            "found 2 sources",
        ),
        (
            {"models": [{"model": "a"}], "base_model": "b", "merge_method": "passthrough"},
            "models: found 2 sources (a, b)",
        ),
        (
            {"modules": {"x": {}, "y": {}}, "merge_method": "linear"},
            "modules.x: `slices` is missing",
        ),
        (
            {"modules": {"x": {"slices": [ONE], "parameters": {"scale": 1}}}, "merge_method": "passthrough"},
            "modules.x.parameters: `parameters` is not supported",
        ),
    ],
)
def test_refused_documents(document, message):
    with pytest.raises(RecipeError) as caught:
        lowered(document)
    assert message in caught.value.message


def test_a_default_model_must_have_a_place():
    with pytest.raises(RecipeError, match="so org/x can't be given without a name") as caught:
        lowered(passthrough(("a", 0, 1)), default_model=ModelRef(name="org/x"))
    assert "--model a=PATH" in caught.value.hint
    assert lowered(passthrough(("a", 0, 1)), default_model=ModelRef(name="a"))


def test_unsupported_keys_come_with_what_is_supported():
    with pytest.raises(RecipeError) as caught:
        lowered(passthrough(("a", 0, 1), chat_template="auto"))
    assert "slices, models, modules, merge_method" in caught.value.hint
