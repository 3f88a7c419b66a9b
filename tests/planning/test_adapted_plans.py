"""Plans of sources with adapters: which operation makes which tensor, and what can't be done at once."""

import pytest

from distexpand.errors import RecipeError
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter
from distexpand.planning.adapters.tokenizer import lint_adapter_tokenizers
from distexpand.planning.build import BuiltPlan, CarriedFile, build_plan
from distexpand.planning.check import check_plan, shard_header
from distexpand.planning.operations import AddLowRank, Blend, Copy, Operation, Scale, Zero
from distexpand.planning.sources import SourceModel
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml
from tests.planning.adapters import FILE, catalog_adapter, lora
from tests.planning.catalogs import HIDDEN, INNER, LAYER, VOCABULARY, catalog_model

Q, DOWN, NORM = "self_attn.q_proj", "mlp.down_proj", "input_layernorm"


def everywhere(layers: int, **config: object) -> Adapter:
    """Return an adapter with two matrices and a replaced norm in each layer."""
    shapes = {}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes |= lora(prefix + Q, HIDDEN, HIDDEN) | lora(prefix + DOWN, HIDDEN, INNER)
        shapes |= {f"{prefix}{NORM}.weight": (HIDDEN,)}
    return catalog_adapter(shapes, **config)


def planned(
    text: str, adapter: Adapter, *models: SourceModel
) -> tuple[BuiltPlan, Recipe, dict[str, Operation]]:
    """Plan a recipe and return, beside the plan, what makes each tensor."""
    named = {model.model: model for model in models or (catalog_model("m"),)}
    recipe = lower(
        parse_recipe(text, origin="r"), {ref: model.stack.num_layers for ref, model in named.items()}
    )
    refs = [*named, adapter.adapter]
    built = build_plan(
        recipe,
        canonical_yaml(recipe),
        named,
        [],
        {ref: f"/places/{ref.name}" for ref in refs},
        shard_size=10**9,
        adapters={adapter.adapter: adapter},
    )
    check_plan(built.plan)
    (shard,) = built.plan.shards
    starts = {entry.offset: name for name, entry in shard_header(shard).tensors.items()}
    return built, recipe, {starts[operation.offset]: operation for operation in shard.operations}


def slices(*sources: str, top: str = "") -> str:
    listed = "".join(f"- sources: [{source}]\n" for source in sources)
    return f"merge_method: passthrough\n{top}slices:\n{listed}"


def test_layers_get_the_adapters_own_for_them() -> None:
    adapter = everywhere(6, layer_replication=[[0, 3], [1, 4]])
    text = slices(
        "{model: m+lora, layer_range: [0, 3]}", "{model: m+lora, layer_range: [1, 4], adapter_range: [3, 6]}"
    )
    built, _, made = planned(text, adapter)
    numbers = {source.path: number for number, source in enumerate(built.plan.sources)}
    for layer, base in enumerate((0, 1, 2, 1, 2, 3)):
        q = made[f"model.layers.{layer}.{Q}.weight"]
        assert isinstance(q, AddLowRank)
        tensors = adapter.catalog.tensors
        assert q.a.source == q.b.source == numbers[FILE]
        assert q.a.source_offset == tensors[f"base_model.model.model.layers.{layer}.{Q}.lora_A.weight"].offset
        assert (q.rows, q.columns, q.rank, q.scaling, q.target) == (HIDDEN, HIDDEN, 2, 2, DType.BF16)
        weight = catalog_model("m").layers[base][f"{Q}.weight"]
        assert q.term.source_offset == weight.offset
        norm = made[f"model.layers.{layer}.{NORM}.weight"]
        assert isinstance(norm, Scale)  # float32 becomes what the model has
        assert (norm.factor, norm.term.dtype, norm.target) == (1, DType.F32, DType.BF16)
        assert isinstance(made[f"model.layers.{layer}.mlp.up_proj.weight"], Copy)
    assert ("lora", "/places/lora") in built.plan.locations
    assert {layer.transforms for layer in built.plan.layers} == {("adapter lora",)}


def test_a_replacement_of_the_models_dtype_is_copied() -> None:
    adapter = catalog_adapter({f"model.layers.0.{NORM}.weight": (HIDDEN,)}, dtype=DType.BF16)
    _, _, made = planned(slices("{model: m+lora, layer_range: [0, 4]}"), adapter)
    norm = made[f"model.layers.0.{NORM}.weight"]
    assert isinstance(norm, Copy)
    assert norm.source_offset == 100


def test_a_bias_is_added_in_float64() -> None:
    model = catalog_model("m", layer={**LAYER, f"{Q}.bias": (HIDDEN,)})
    adapter = catalog_adapter({f"model.layers.1.{Q}.lora_B.bias": (HIDDEN,)})
    _, _, made = planned(slices("{model: m+lora, layer_range: [0, 4]}"), adapter, model)
    bias = made[f"model.layers.1.{Q}.bias"]
    assert isinstance(bias, Blend)
    assert (bias.weights, bias.normalize, bias.compute) == ((1.0, 2.0), False, DType.F64)


def test_an_embedding_that_is_replaced_and_changed() -> None:
    adapter = catalog_adapter(
        {
            "model.embed_tokens.base_layer.weight": (VOCABULARY, HIDDEN),
            "model.embed_tokens.lora_embedding_A": (2, VOCABULARY),
            "model.embed_tokens.lora_embedding_B": (HIDDEN, 2),
        }
    )
    built, _, made = planned(slices("{model: m+lora, layer_range: [0, 4]}"), adapter)
    embeddings = made["model.embed_tokens.weight"]
    assert isinstance(embeddings, AddLowRank)
    assert built.plan.sources[embeddings.term.source].path == FILE
    assert (embeddings.transposed, embeddings.rows, embeddings.columns) == (True, VOCABULARY, HIDDEN)


def test_embeddings_and_head_follow_the_slice_that_they_come_from() -> None:
    adapter = catalog_adapter(
        {"lm_head.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}, dtype=DType.BF16
    )
    plain, adapted = "{model: m, layer_range: [0, 2]}", "{model: m+lora, layer_range: [2, 4]}"
    _, _, made = planned(slices(plain, adapted), adapter)
    assert {made[name].source for name in ("lm_head.weight", "model.norm.weight")} == {1}  # type: ignore[union-attr]
    built, _, made = planned(slices("{model: m+lora, layer_range: [0, 2]}", plain), adapter)
    assert made["lm_head.weight"].source == 0  # type: ignore[union-attr]
    text = "slices: [{sources: [{model: m+lora, layer_range: [0, 4]}]}]\n"
    text += "embeddings: {sources: [{model: m}]}\nhead: {sources: [{model: m}]}\nmerge_method: passthrough\n"
    built, _, made = planned(text, adapter)
    (finding,) = (finding for finding in built.findings if finding.code == "adapter-in-part")
    assert "changes 'lm_head.weight' of m, but the recipe takes embeddings and head from elsewhere" in (
        finding.message
    )


def test_an_identity_block_is_one_whatever_the_adapter_says() -> None:
    text = "model: m+lora\nblock_expansion: {after: [1]}\n"
    _, _, made = planned(text, everywhere(4))
    assert isinstance(made[f"model.layers.2.{DOWN}.weight"], Zero)
    assert isinstance(made[f"model.layers.2.{Q}.weight"], AddLowRank)
    assert isinstance(made[f"model.layers.3.{DOWN}.weight"], AddLowRank)


@pytest.mark.parametrize(
    ("top", "target"), [("dtype: float16\n", DType.F16), ("dtype: float16\nout_dtype: float32\n", DType.F32)]
)
def test_what_is_stored_is_the_recipes_dtype(top: str, target: DType) -> None:
    _, _, made = planned(slices("{model: m+lora, layer_range: [0, 4]}", top=top), everywhere(4))
    q, norm = made[f"model.layers.0.{Q}.weight"], made[f"model.layers.0.{NORM}.weight"]
    assert isinstance(q, AddLowRank)
    assert q.target is target
    assert norm.target is target if target is DType.F16 else isinstance(norm, Copy)  # type: ignore[union-attr]


def test_scales_of_other_tensors_and_zeros_go_together_with_an_adapter() -> None:
    rules = "parameters: {scale: [{filter: up_proj, value: 0.5}, {filter: q_proj, value: 0}, {value: 1}]}"
    _, _, made = planned(slices(f"{{model: m+lora, layer_range: [0, 4], {rules}}}"), everywhere(4))
    assert isinstance(made["model.layers.0.mlp.up_proj.weight"], Scale)
    assert isinstance(made[f"model.layers.0.{Q}.weight"], Zero)
    assert isinstance(made[f"model.layers.0.{DOWN}.weight"], AddLowRank)


def test_a_scale_of_a_changed_tensor_is_refused() -> None:
    rules = "parameters: {scale: [{filter: q_proj, value: 0.5}, {value: 1}]}"
    with pytest.raises(RecipeError, match=r"m\+lora: tensor .*q_proj.weight' .* has the scale 0.5") as caught:
        planned(slices(f"{{model: m+lora, layer_range: [0, 4], {rules}}}"), everywhere(4))
    assert "distexpand adapter bake" in caught.value.hint


LINEAR = """
merge_method: linear
models:
- {model: m+lora, parameters: {weight: %s}}
- {model: other, parameters: {weight: %s}}
"""


def test_weighted_sums() -> None:
    models = catalog_model("m"), catalog_model("other")
    _, _, made = planned(LINEAR % (0.3, 0), everywhere(4), *models)
    assert isinstance(made[f"model.layers.0.{Q}.weight"], AddLowRank)  # 0.3 divided by 0.3
    _, _, made = planned(LINEAR % (0, 1), everywhere(4), *models)
    assert isinstance(made[f"model.layers.0.{Q}.weight"], Copy)
    with pytest.raises(
        RecipeError, match="the adapter lora changes it in m, and it can't be part of"
    ) as caught:
        planned(LINEAR % (0.3, 0.7), everywhere(4), *models)
    assert "distexpand adapter bake" in caught.value.hint
    unnormalised = LINEAR % (0.3, 0) + "parameters: {normalize: false}\n"
    with pytest.raises(RecipeError, match="can't be part of a weighted sum"):
        planned(unnormalised, everywhere(4), *models)


def test_a_layer_never_gets_what_was_trained_for_another() -> None:
    replicated = everywhere(6, layer_replication=[[0, 3], [1, 4]])
    for text, said in (
        (
            slices("{model: m+lora, layer_range: [0, 4]}"),
            "layer 3 of the adapter lora was trained on layer 1 of m",
        ),
        (slices("{model: m+lora, layer_range: [0, 4], adapter_range: [3, 7]}"), "trained on layer 1 of m"),
        (
            slices("{model: m+lora, layer_range: [3, 4], adapter_range: [6, 7]}"),
            "has 6 layers, but .* layer 6",
        ),
    ):
        with pytest.raises(RecipeError, match=said):
            planned(text, replicated)
    planned(slices("{model: m+lora, layer_range: [0, 3]}"), replicated)
    with pytest.raises(RecipeError, match="layer 1 of the adapter lora was trained on layer 1 of m, but the"):
        planned(slices("{model: m+lora, layer_range: [0, 2], adapter_range: [1, 3]}"), everywhere(4))


def test_the_plan_is_the_same_from_its_own_recipe() -> None:
    adapter = everywhere(6, layer_replication=[[0, 3], [1, 4]])
    text = slices(
        "{model: m+lora, layer_range: [0, 3]}", "{model: m+lora, layer_range: [1, 4], adapter_range: [3, 6]}"
    )
    first, recipe, _ = planned(text, adapter)
    again, same, _ = planned(first.plan.recipe, adapter)
    assert (again.plan, same) == (first.plan, recipe)


def test_an_adapter_with_a_tokenizer_of_its_own() -> None:
    m, adapter = ModelRef(name="m"), ModelRef(name="lora")

    def files(model: ModelRef, **pins: str) -> list[CarriedFile]:
        return [CarriedFile(model=model, name=f"{n}.json", size=1, pin=pin) for n, pin in pins.items()]

    base = files(m, tokenizer="1", tokenizer_config="1")
    recipe = lower(parse_recipe(slices("{model: m+lora, layer_range: [0, 4]}"), origin="r"), {m: 4})
    told = lint_adapter_tokenizers(
        recipe, {m: base, adapter: files(adapter, tokenizer="1", tokenizer_config="2")}
    )
    (finding,) = told
    assert finding.message == "lora has a tokenizer_config.json of its own, but the output gets that of m"
    for own in (files(adapter), files(adapter, tokenizer="1"), files(adapter, special="9")):
        assert not list(lint_adapter_tokenizers(recipe, {m: base, adapter: own}))
