"""From recipe to operations: which source every tensor has, and what can't be put together."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import ArchitectureError, RecipeError
from distexpand.formats.dtypes import DType, promoted
from distexpand.planning.check import check_plan, shard_header
from distexpand.planning.model import Plan
from distexpand.planning.operations import Blend, Copy, Operation, Scale, Zero
from distexpand.planning.sources import SourceModel
from distexpand.recipe.canonical import ModelRef
from tests.planning.catalogs import HIDDEN, INNER, LAYER, built, catalog_model, models_of

QUANTISED = {"q_proj.weight": DType.U8}


def operations(plan: Plan) -> dict[str, Operation | None]:
    """Return the operation of every tensor by its name."""
    found: dict[str, Operation | None] = {}
    for shard in plan.shards:
        by_offset = {operation.offset: operation for operation in shard.operations}
        for name, tensor in shard_header(shard).tensors.items():
            found[name] = by_offset[tensor.offset] if tensor.length else None
    return found


def origin(plan: Plan, models: Mapping[ModelRef, SourceModel], name: str) -> tuple[str, str]:
    """Return model and tensor that a copied tensor comes from."""
    operation = operations(plan)[name]
    assert isinstance(operation, Copy)
    file = plan.sources[operation.source]
    catalog = models[ModelRef(name=file.model)].catalog
    (entry,) = (
        entry
        for entry in catalog.tensors.values()
        if (entry.file, entry.offset) == (file.path, operation.source_offset)
    )
    assert entry.length == operation.length
    return file.model, entry.name


def stacked(*slices: str, rest: str = "merge_method: passthrough") -> str:
    lines = "\n".join(f"  - sources: [{entry}]" for entry in slices)
    return f"slices:\n{lines}\n{rest}\n"


def test_duplicated_layers_copy_the_same_range_under_new_names() -> None:
    models = models_of(catalog_model("a"))
    plan = built("{model: a, layer_map: [[0, 3], [1, 4]]}", models).plan
    check_plan(plan)
    for index, layer in enumerate([0, 1, 2, 1, 2, 3]):
        for suffix in LAYER:
            found = origin(plan, models, f"model.layers.{index}.{suffix}")
            assert found == ("a", f"model.layers.{layer}.{suffix}")
    assert [origin.copy for origin in plan.layers] == [0, 0, 0, 1, 1, 0]
    assert [origin.new for origin in plan.layers] == [False, False, False, True, True, False]


def test_two_sources_embeddings_of_the_first_head_of_the_last() -> None:
    models = models_of(catalog_model("a"), catalog_model("b", file_bytes=150))
    plan = built(stacked("{model: a, layer_range: [0, 2]}", "{model: b, layer_range: [1, 4]}"), models).plan
    assert origin(plan, models, "model.embed_tokens.weight") == ("a", "model.embed_tokens.weight")
    assert origin(plan, models, "model.norm.weight") == ("b", "model.norm.weight")
    assert origin(plan, models, "lm_head.weight") == ("b", "lm_head.weight")
    assert [(layer.model, layer.layer) for layer in plan.layers] == [
        ("a", 0),
        ("a", 1),
        ("b", 1),
        ("b", 2),
        ("b", 3),
    ]
    assert origin(plan, models, "model.layers.4.mlp.up_proj.weight") == (
        "b",
        "model.layers.3.mlp.up_proj.weight",
    )
    assert len({(s.model, s.path) for s in plan.sources}) == len(plan.sources)


def test_identity_zeroes_the_residual_outputs_only() -> None:
    plan = built("{model: a, block_expansion: {after: [1]}}", models_of(catalog_model("a"))).plan
    found = operations(plan)
    zeroed = {name for name, operation in found.items() if isinstance(operation, Zero)}
    assert zeroed == {f"model.layers.2.{name}.weight" for name in ("self_attn.o_proj", "mlp.down_proj")}
    assert [layer.identity for layer in plan.layers] == [False, False, True, False, False]


def test_scale_rules_by_tensor() -> None:
    rules = "[{filter: q_proj, value: 0.5}, {filter: norm, value: 0}, {value: 1}]"
    text = stacked(f"{{model: a, layer_range: [0, 1], parameters: {{scale: {rules}}}}}")
    found = operations(built(text, models_of(catalog_model("a"))).plan)
    scaled = found["model.layers.0.self_attn.q_proj.weight"]
    assert isinstance(scaled, Scale)
    assert (scaled.factor, scaled.compute, scaled.target) == (0.5, DType.BF16, DType.BF16)
    assert isinstance(found["model.layers.0.input_layernorm.weight"], Zero)
    assert isinstance(found["model.layers.0.mlp.up_proj.weight"], Copy)


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        (DType.F32, "", None),
        (DType.F32, "dtype: float32", None),
        (DType.F32, "out_dtype: float32", None),
        (DType.F32, "dtype: bfloat16", (DType.BF16, DType.BF16)),
        (DType.F32, "out_dtype: float16", (DType.F32, DType.F16)),
        (DType.F32, "dtype: bfloat16\nout_dtype: float32", (DType.BF16, DType.F32)),
        (DType.BF16, "dtype: float64\nout_dtype: bfloat16", (DType.F64, DType.BF16)),
    ],
)
def test_dtype_before_arithmetic_and_out_dtype_as_stored(
    stored: DType, options: str, expected: tuple[DType, DType] | None
) -> None:
    text = stacked("{model: a, layer_range: [0, 4]}", rest=f"merge_method: passthrough\n{options}")
    plan = built(text, models_of(catalog_model("a", dtype=stored, torch_dtype="float32"))).plan
    found = set(map(type, operations(plan).values()))
    if expected is None:
        assert found == {Copy}
        return
    assert found == {Scale}
    operation = operations(plan)["model.norm.weight"]
    assert isinstance(operation, Scale)
    assert (operation.compute, operation.target, operation.factor) == (*expected, 1.0)
    assert f'"torch_dtype": "{expected[1].torch_name}"' in plan.texts[0].text
    assert {t.dtype for t in shard_header(plan.shards[0]).tensors.values()} == {expected[1]}


def linear(*weights: str, rest: str = "") -> str:
    sources = ", ".join(
        f"{{model: {model}, layer_range: [0, 4], parameters: {{weight: {weight}}}}}"
        for model, weight in zip("abc", weights, strict=False)
    )
    return f"slices:\n  - sources: [{sources}]\nmerge_method: linear\n{rest}\n"


def test_linear_blends_with_weights_in_order() -> None:
    models = models_of(catalog_model("a"), catalog_model("b", dtype=DType.F32))
    found = operations(built(linear("0.25", "0.5"), models).plan)
    operation = found["model.layers.1.mlp.up_proj.weight"]
    assert isinstance(operation, Blend)
    assert operation.weights == (0.25, 0.5)
    assert [term.dtype for term in operation.terms] == [DType.BF16, DType.F32]
    assert operation.normalize
    assert set(map(type, found.values())) == {Blend}


@given(
    dtypes=st.permutations([DType.F16, DType.BF16, DType.F32, DType.F64]),
    used=st.integers(2, 3),
    dtype=st.sampled_from([None, DType.BF16]),
    out_dtype=st.sampled_from([None, DType.F16]),
)
def test_the_dtype_of_a_sum_holds_all_its_terms_in_any_order(
    dtypes: list[DType], used: int, dtype: DType | None, out_dtype: DType | None
) -> None:
    options = {"dtype": dtype, "out_dtype": out_dtype}
    rest = "\n".join(f"{key}: {value.torch_name}" for key, value in options.items() if value is not None)
    models = models_of(
        *(
            catalog_model(name, dtype=stored, torch_dtype=stored.torch_name)
            for name, stored in zip("abc", dtypes, strict=False)
        )
    )
    plan = built(linear(*["0.5"] * used, *["0"] * (3 - used), rest=rest), models).plan
    compute = dtype or promoted(dtypes[:used])
    target = out_dtype or compute
    for operation in operations(plan).values():
        assert isinstance(operation, Blend)
        assert (operation.compute, operation.target) == (compute, target)
    assert {t.dtype for t in shard_header(plan.shards[0]).tensors.values()} == {target}
    assert f'"torch_dtype": "{target.torch_name}"' in plan.texts[0].text


def test_a_config_keeps_its_dtype_where_sums_are_of_one() -> None:
    models = models_of(*(catalog_model(name, torch_dtype="float16") for name in "ab"))
    plan = built(linear("0.5", "0.5"), models).plan
    assert '"torch_dtype": "float16"' in plan.texts[0].text


def test_sources_of_weight_zero_are_not_read_and_needn_t_fit() -> None:
    other_shapes = {suffix: tuple(2 * n for n in shape) for suffix, shape in LAYER.items()}
    models = models_of(
        catalog_model("a"),
        catalog_model("b", layer={**other_shapes, "extra.weight": (3,)}, vocabulary=99, model_type="other"),
    )
    plan = built(linear("1", "0"), models).plan
    assert set(map(type, operations(plan).values())) == {Copy}
    assert {source.model for source in plan.sources} == {"a"}
    assert all(layer.model == "a" for layer in plan.layers)


def test_a_weight_of_zero_for_some_tensors_only() -> None:
    models = models_of(catalog_model("a"), catalog_model("b"))
    found = operations(built(linear("1", "[{filter: mlp, value: 0}, {value: 1}]"), models).plan)
    assert isinstance(found["model.layers.0.mlp.up_proj.weight"], Copy)
    assert isinstance(found["model.layers.0.self_attn.q_proj.weight"], Blend)


def test_quantised_tensors_are_copied_and_zeroed_but_never_computed() -> None:
    models = models_of(catalog_model("a", dtypes=QUANTISED))
    copied = operations(built("{model: a, layer_map: [[0, 4]], dtype: float32}", models).plan)
    assert isinstance(copied["model.layers.0.self_attn.q_proj.weight"], Copy)
    scaled = stacked("{model: a, layer_range: [0, 4], parameters: {scale: 0.5}}")
    with pytest.raises(RecipeError, match=r"q_proj\.weight' is U8; only 0 and 1 are possible") as caught:
        built(scaled, models)
    assert "filter" in caught.value.hint
    with pytest.raises(RecipeError, match=r"is U8; only 0 and 1"):
        built(linear("0.5", "0.5"), models_of(*models.values(), catalog_model("b", dtypes=QUANTISED)))


@pytest.mark.parametrize("dtype", [DType.F8_E4M3, DType.F4, DType.F8_E8M0])
def test_scaled_floats_are_not_cast(dtype: DType) -> None:
    models = models_of(catalog_model("a", dtypes={"up_proj.weight": dtype}))
    with pytest.raises(RecipeError, match=r"can't be cast alone"):
        built("{model: a, layer_map: [[0, 4]], out_dtype: float32}", models)
    kept = operations(built("{model: a, block_expansion: {after: [3]}}", models).plan)
    assert isinstance(kept["model.layers.4.mlp.up_proj.weight"], Copy)


def test_shapes_that_differ_are_named() -> None:
    layer = {**LAYER, "mlp.up_proj.weight": (INNER, HIDDEN + 1)}
    models = models_of(catalog_model("a"), catalog_model("b", layer=layer))
    text = stacked("{model: a, layer_range: [0, 4]}", "{model: b, layer_range: [2, 3]}")
    with pytest.raises(RecipeError, match=r"b: tensor 'model\.layers\.2\.mlp\.up_proj\.weight' is \[6, 5\]"):
        built(text, models)


def test_other_tensors_and_architectures_are_named() -> None:
    slices = ("{model: a, layer_range: [0, 4]}", "{model: b, layer_range: [2, 3]}")
    extra = catalog_model("b", layer={**LAYER, "extra.weight": (1,)})
    with pytest.raises(RecipeError, match=r"b has 'extra\.weight' in such a layer, a doesn't"):
        built(stacked(*slices), models_of(catalog_model("a"), extra))
    other = catalog_model("b", model_type="mixtral")
    with pytest.raises(RecipeError, match=r"b: model_type is 'mixtral', but 'llama' in the base model a"):
        built(stacked(*slices), models_of(catalog_model("a"), other))
    bigger = catalog_model("b", vocabulary=11)
    with pytest.raises(RecipeError, match=r"'lm_head\.weight' is \[11, 4\]"):
        built(stacked(*slices), models_of(catalog_model("a"), bigger))


def test_missing_tensors_with_weight_are_named() -> None:
    fewer = {suffix: shape for suffix, shape in LAYER.items() if "norm" not in suffix}
    models = models_of(catalog_model("a"), catalog_model("b", layer=fewer))
    with pytest.raises(RecipeError, match=r"a has 'input_layernorm\.weight' in such a layer, b"):
        built(linear("1", "1"), models)


def test_identity_needs_known_residual_outputs() -> None:
    layer = {"mystery.weight": (HIDDEN, HIDDEN)}
    with pytest.raises(ArchitectureError):
        built("{model: a, block_expansion: {after: [1]}}", models_of(catalog_model("a", layer=layer)))


def test_order_of_tensors_is_embeddings_layers_head() -> None:
    plan = built("{model: a, layer_map: [[0, 4], [0, 4], [0, 4]]}", models_of(catalog_model("a"))).plan
    names = list(shard_header(plan.shards[0]).tensors)
    assert names[0] == "model.embed_tokens.weight"
    assert names[-2:] == ["model.norm.weight", "lm_head.weight"]  # as the source has them
    layers = [int(name.split(".")[2]) for name in names[1:-2]]
    assert layers == sorted(layers)


def test_a_source_of_no_weight_is_no_part_of_a_layer_s_origin() -> None:
    models = models_of(catalog_model("a"), catalog_model("b"))
    origins = built(linear("1", "0"), models).plan.layers
    assert {origin.others for origin in origins} == {()}
    assert not any("b:" in word for origin in origins for word in origin.transforms)
