"""Where each tensor of an adapter belongs, and that none is left over."""

from dataclasses import replace

import pytest

from distexpand.errors import RecipeError
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import LowRank, ScaledVector
from distexpand.planning.adapters.match import match_adapter
from distexpand.planning.adapters.names import Role, parse_adapter_name
from distexpand.planning.sources import SourceModel, source_model
from distexpand.recipe.canonical import ModelRef
from tests.planning.adapters import catalog_adapter, lora
from tests.planning.catalogs import HIDDEN, INNER, LAYER, VOCABULARY, catalog_model
from tests.planning.named import catalog_of

Q = "model.layers.0.self_attn.q_proj"
UP = "model.layers.1.mlp.up_proj"


def test_matrices_find_their_layer_and_suffix() -> None:
    adapter = catalog_adapter(lora(Q, HIDDEN, HIDDEN) | lora(UP, INNER, HIDDEN), alpha_pattern={"up_proj": 6})
    changes = match_adapter(adapter, catalog_model("m")).changes
    assert changes.keys() == {(0, "self_attn.q_proj.weight"), (1, "mlp.up_proj.weight")}
    up = changes[1, "mlp.up_proj.weight"].added
    assert isinstance(up, LowRank)
    assert (up.rank, up.scaling, up.transposed, up.magnitude) == (2, 3, False, None)
    assert up.a.name == f"base_model.model.{UP}.lora_A.weight"
    assert up.b.shape == (INNER, 2)


def test_replicated_layers_are_the_adapters_own() -> None:
    names = lora("model.layers.5.self_attn.q_proj", HIDDEN, HIDDEN)
    adapter = catalog_adapter(names, layer_replication=[[0, 3], [1, 4]])
    match = match_adapter(adapter, catalog_model("m"))
    assert match.base_layers == (0, 1, 2, 1, 2, 3)
    assert match.changes.keys() == {(5, "self_attn.q_proj.weight")}
    with pytest.raises(
        RecipeError, match=r"changes 'model.layers.5.self_attn.q_proj.weight', which m doesn't"
    ):
        match_adapter(catalog_adapter(names), catalog_model("m"))
    with pytest.raises(RecipeError, match="layer_replication has layer 4, but m has 4 layers"):
        match_adapter(catalog_adapter(names, layer_replication=[[0, 5]]), catalog_model("m"))


def test_what_replaces_a_tensor_and_what_is_outside() -> None:
    adapter = catalog_adapter(
        {
            "model.embed_tokens.base_layer.weight": (VOCABULARY, HIDDEN),
            "model.embed_tokens.lora_embedding_A": (2, VOCABULARY),
            "model.embed_tokens.lora_embedding_B": (HIDDEN, 2),
            "lm_head.weight": (VOCABULARY, HIDDEN),
            "model.layers.2.input_layernorm.weight": (HIDDEN,),
        }
    )
    changes = match_adapter(adapter, catalog_model("m")).changes
    embeddings = changes[None, "model.embed_tokens.weight"]
    assert embeddings.replaced is not None
    assert isinstance(embeddings.added, LowRank)
    assert embeddings.added.transposed
    head = changes[None, "lm_head.weight"]
    assert (head.replaced is not None, head.added) == (True, None)
    assert changes[2, "input_layernorm.weight"].replaced is not None


def test_a_bias_that_is_added() -> None:
    model = catalog_model("m", layer={**LAYER, "self_attn.q_proj.bias": (HIDDEN,)})
    adapter = catalog_adapter({f"{Q}.lora_B.bias": (HIDDEN,), f"{Q}.base_layer.bias": (HIDDEN,)})
    change = match_adapter(adapter, model).changes[0, "self_attn.q_proj.bias"]
    assert change.replaced is not None
    assert isinstance(change.added, ScaledVector)
    assert change.added.scaling == 2
    with pytest.raises(RecipeError, match=r"changes 'model.layers.0.self_attn.q_proj.bias', which m doesn't"):
        match_adapter(adapter, catalog_model("m"))


def named_model(prefix: str, *, outside: str = "", square: bool = False) -> SourceModel:
    """Return a model of two layers with GPT-2's matrices: stored as (inputs, outputs), with biases."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{outside}wte.weight": (VOCABULARY, 4),
        "head.weight": (VOCABULARY, 4),
    }
    for layer in range(2):
        shapes[f"{prefix}{layer}.attn.c_proj.weight"] = (4, 4)
        shapes[f"{prefix}{layer}.attn.c_proj.bias"] = (4,)
        if not square:
            shapes[f"{prefix}{layer}.attn.c_attn.weight"] = (4, 12)
            shapes[f"{prefix}{layer}.attn.c_attn.bias"] = (12,)
    config = {"model_type": "gpt2", "n_layer": 2, "vocab_size": VOCABULARY}
    return source_model(ModelRef(name="m"), config, catalog_of(shapes))


@pytest.mark.parametrize("stored", ["h.", "transformer.h.", "model.transformer.h."])
def test_a_checkpoint_may_name_its_layers_with_more_or_less_in_front(stored: str) -> None:
    model = named_model(stored, outside=stored.removesuffix("h."))
    adapter = catalog_adapter(
        lora("transformer.h.1.attn.c_attn", 12, 4) | {"transformer.wte.weight": (VOCABULARY, 4)}
    )
    changes = match_adapter(adapter, model).changes
    outside = f"{stored.removesuffix('h.')}wte.weight"
    assert changes.keys() == {(1, "attn.c_attn.weight"), (None, outside)}


@pytest.mark.parametrize("flag", [False, True])
def test_how_a_matrix_is_stored_is_told_by_its_shape_or_those_beside_it(flag: bool) -> None:
    """PEFT's flag is what the last module wanted, so a square matrix asks its neighbours first."""
    adapter = catalog_adapter(
        lora("h.0.attn.c_attn", 12, 4) | lora("h.0.attn.c_proj", 4, 4), fan_in_fan_out=flag
    )
    changes = match_adapter(adapter, named_model("h.")).changes
    assert [change.added.transposed for change in changes.values()] == [True, True]  # type: ignore[union-attr]
    alone = catalog_adapter(lora("h.0.attn.c_proj", 4, 4), fan_in_fan_out=flag)
    (change,) = match_adapter(alone, named_model("h.", square=True)).changes.values()
    assert change.added.transposed == flag  # type: ignore[union-attr]


def test_lengths_of_rows() -> None:
    adapter = catalog_adapter(
        lora(Q, HIDDEN, HIDDEN) | {f"{Q}.lora_magnitude_vector": (HIDDEN,)}, use_dora=True
    )
    (change,) = match_adapter(adapter, catalog_model("m")).changes.values()
    assert change.added.magnitude.shape == (HIDDEN,)  # type: ignore[union-attr]


LENGTHS = {f"{Q}.lora_magnitude_vector": (HIDDEN,)}
EMBEDDING = {
    "model.embed_tokens.lora_embedding_A": (2, 10),
    "model.embed_tokens.lora_embedding_B": (HIDDEN, 2),
}


@pytest.mark.parametrize(
    ("shapes", "config", "said"),
    [
        (
            {f"{Q}.lora_A.weight": (2, HIDDEN)},
            {},
            r"has 'base_model.*q_proj.lora_A.weight', but no '.lora_B.weight'",
        ),
        (
            {f"{Q}.lora_B.weight": (HIDDEN, 2)},
            {},
            r"but no '.lora_A.weight' for 'model.layers.0.self_attn.q_proj'",
        ),
        ({"model.embed_tokens.lora_embedding_B": (HIDDEN, 2)}, {}, "but no '.lora_embedding_A'"),
        (lora(Q, HIDDEN, HIDDEN, rank=3), {}, r"is \[3, 4\]; by the adapter's config its rank is 2"),
        (lora(Q, HIDDEN, HIDDEN), {"rank_pattern": {"q_proj": 1}}, "its rank is 1"),
        (
            lora(Q, HIDDEN, HIDDEN + 1),
            {},
            r"are for a matrix of 4 outputs and 5 inputs, but '.*' is \[4, 4\]",
        ),
        (lora(Q, 2 * HIDDEN, HIDDEN), {}, "are for a matrix of 8 outputs and 4 inputs"),
        ({f"{Q}.lora_A.weight": (2, 4, 1, 1), f"{Q}.lora_B.weight": (4, 2, 1, 1)}, {}, r"is \[2, 4, 1, 1\]"),
        (
            lora("model.layers.0.mlp.gate", HIDDEN, HIDDEN),
            {},
            "changes 'model.layers.0.mlp.gate.weight', which m",
        ),
        (
            lora("model.layers.9.self_attn.q_proj", HIDDEN, HIDDEN),
            {},
            "changes 'model.layers.9.self_attn.q_proj",
        ),
        ({"score.weight": (3, HIDDEN)}, {}, "changes 'score.weight', which m doesn't have"),
        ({"model.norm.weight": (HIDDEN + 1,)}, {}, r"is \[5\], but \[4\] in the model"),
        ({f"{Q}.lora_diag": (2,)}, {}, "isn't one that is known of LoRA"),
        ({f"{Q}.lora_A.default.weight": (2, HIDDEN)}, {}, "isn't one that is known of LoRA"),
        (lora(Q, HIDDEN, HIDDEN) | LENGTHS, {}, "has 'base_model.*lora_magnitude_vector', but no use_dora"),
        (lora(Q, HIDDEN, HIDDEN), {"use_dora": True}, "has use_dora, but no magnitudes"),
        (LENGTHS, {"use_dora": True}, "but no '.lora_A.weight'"),
        (
            lora(Q, HIDDEN, HIDDEN) | {f"{Q}.lora_magnitude_vector": (1, HIDDEN)},
            {"use_dora": True},
            r"is \[1, 4\]; expected \[4\]",
        ),
        (
            EMBEDDING | {"model.embed_tokens.lora_magnitude_vector": (HIDDEN,)},
            {"use_dora": True},
            "DoRA is not supported for embeddings",
        ),
        (EMBEDDING | lora("model.embed_tokens", 10, HIDDEN), {}, "doesn't go with the others"),
        (
            lora(Q, HIDDEN, HIDDEN) | lora(Q.removeprefix("model."), HIDDEN, HIDDEN),
            {},
            "'base_model.*' and 'base_model.*' are the same piece",
        ),
    ],
)
def test_what_is_left_over_half_there_or_of_another_shape_is_named(
    shapes: dict[str, tuple[int, ...]], config: dict[str, object], said: str
) -> None:
    with pytest.raises(RecipeError, match=f"^lora: .*{said}"):
        match_adapter(catalog_adapter(shapes, **config), catalog_model("m"))


def test_names_without_pefts_prefix_are_refused() -> None:
    with pytest.raises(RecipeError, match="isn't one that is known of LoRA"):
        match_adapter(catalog_adapter(lora(Q, HIDDEN, HIDDEN), prefix=""), catalog_model("m"))


@pytest.mark.parametrize(
    ("shapes", "hint"),
    [
        ({"model.embed_tokens.weight": (VOCABULARY + 2, HIDDEN)}, "resize_token_embeddings"),
        (EMBEDDING | {"model.embed_tokens.lora_embedding_A": (2, VOCABULARY + 2)}, "resize_token_embeddings"),
    ],
)
def test_added_tokens_are_told_of(shapes: dict[str, tuple[int, ...]], hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        match_adapter(catalog_adapter(shapes), catalog_model("m"))
    assert hint in caught.value.hint


@pytest.mark.parametrize("tied", [True, None])
@pytest.mark.parametrize(
    "shapes",
    [
        EMBEDDING,
        {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)},
        lora("lm_head", VOCABULARY, HIDDEN),
        {"lm_head.weight": (VOCABULARY, HIDDEN)},
    ],
)
def test_one_of_two_tied_matrices_cant_be_changed(
    shapes: dict[str, tuple[int, ...]], tied: bool | None
) -> None:
    """Many a class ties them without a word in its config; then there is no head in the files."""
    config = {} if tied is None else {"tie_word_embeddings": tied}
    with pytest.raises(RecipeError, match="both are one tensor in m") as caught:
        match_adapter(catalog_adapter(shapes), catalog_model("m", head=False, **config))
    assert "tie_word_embeddings=False" in caught.value.hint
    with_norm = catalog_adapter({"model.norm.weight": (HIDDEN,)})
    assert match_adapter(with_norm, catalog_model("m", head=False, **config)).changes


@pytest.mark.parametrize("dtype", [DType.F8_E4M3, DType.U8])
def test_nothing_is_added_to_a_quantised_tensor(dtype: DType) -> None:
    model = catalog_model("m", dtypes={"q_proj.weight": dtype})
    with pytest.raises(RecipeError, match="a delta can be added to plain floats only") as caught:
        match_adapter(catalog_adapter(lora(Q, HIDDEN, HIDDEN)), model)
    assert "quantised" in caught.value.hint


@pytest.mark.parametrize("dtype", [DType.F64, DType.I32])
def test_matrices_of_other_dtypes_are_refused(dtype: DType) -> None:
    with pytest.raises(RecipeError, match=f"is {dtype.value}; expected BF16, F16, F32"):
        match_adapter(catalog_adapter(lora(Q, HIDDEN, HIDDEN), dtype=dtype), catalog_model("m"))
    replaced = catalog_adapter({"model.norm.weight": (HIDDEN,)}, dtype=DType.I32)
    with pytest.raises(RecipeError, match=r"is I32, but 'model\.norm\.weight' in the model BF16"):
        match_adapter(replaced, catalog_model("m"))


@pytest.mark.parametrize(
    ("name", "role", "target"),
    [
        ("a.lora_A.weight", Role.A, "a.weight"),
        ("a.b.lora_B.bias", Role.BIAS, "a.b.bias"),
        ("a.lora_embedding_B", Role.EMBEDDING_B, "a.weight"),
        ("a.lora_magnitude_vector", Role.MAGNITUDE, "a.weight"),
        ("a.base_layer.bias", Role.REPLACED, "a.bias"),
        ("a.norm.weight", Role.REPLACED, "a.norm.weight"),
    ],
)
def test_names(name: str, role: Role, target: str) -> None:
    found = parse_adapter_name(f"base_model.model.{name}")
    assert found is not None
    assert (found.role, found.target) == (role, target)
    assert parse_adapter_name(name) is None


LOADED = "model.language_model."
TOWER = "vision_tower.encoder.layers."


def image_text_model(
    outer: str = "language_model.", inner: str = "model.", tower: str = TOWER
) -> SourceModel:
    """Return a model of a tower of two layers and a language model of four, with the same suffixes."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{outer}{inner}embed_tokens.weight": (VOCABULARY, HIDDEN),
        f"{outer}{inner}norm.weight": (HIDDEN,),
        f"{outer}lm_head.weight": (VOCABULARY, HIDDEN),
        "multi_modal_projector.norm.weight": (HIDDEN,),
    }
    for layer in range(4):
        shapes[f"{outer}{inner}layers.{layer}.self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{outer}{inner}layers.{layer}.block_sparse_moe.gate.weight"] = (2, HIDDEN)
    for layer in range(2):
        shapes[f"{tower}{layer}.self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
    text = {"num_hidden_layers": 4, "vocab_size": VOCABULARY}
    config = {"model_type": "vl", "text_config": text, "vision_config": {"num_hidden_layers": 2}}
    return source_model(ModelRef(name="m"), config, catalog_of(shapes))


@pytest.mark.parametrize(
    ("outer", "inner"), [("language_model.", "model."), ("", "model."), ("model.", "language_model.")]
)
@pytest.mark.parametrize("loaded", [LOADED, "language_model.model.", "model."])
def test_a_checkpoint_may_wrap_its_language_model_otherwise(outer: str, inner: str, loaded: str) -> None:
    """The tower has a tensor of the same suffix and shape, and stays what it is."""
    adapter = catalog_adapter(
        lora(f"{loaded}layers.5.self_attn.q_proj", HIDDEN, HIDDEN)
        | lora("model.vision_tower.encoder.layers.1.self_attn.q_proj", HIDDEN, HIDDEN)
        | lora("lm_head", VOCABULARY, HIDDEN)
        | {f"{loaded}norm.weight": (HIDDEN,), "model.multi_modal_projector.norm.weight": (HIDDEN,)},
        layer_replication=[[0, 3], [1, 4]],
    )
    match = match_adapter(
        adapter, image_text_model(outer, inner, "vision_tower.vision_model.encoder.layers.")
    )
    assert match.base_layers == (0, 1, 2, 1, 2, 3)
    assert match.changes.keys() == {
        (5, "self_attn.q_proj.weight"),
        (None, "vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight"),
        (None, f"{outer}lm_head.weight"),
        (None, f"{outer}{inner}norm.weight"),
        (None, "multi_modal_projector.norm.weight"),
    }


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "model.layers.3.self_attn.q_proj",
            "may be 'language_model.model.layers.3.*' or 'text_model.layers.3.",
        ),
        ("model.vision_tower.layers.0.self_attn.q_proj", "which m doesn't have"),
        ("vision_tower.model.layers.0.self_attn.q_proj", "which m doesn't have"),
        ("model.image_tower.language_model.model.layers.0.self_attn.q_proj", "which m doesn't have"),
        ("model.language_model.layers.4.self_attn.q_proj", "which m doesn't have"),
        ("model.language_model.layers.03.self_attn.q_proj", "which m doesn't have"),
        ("model.language_model.layers.0.mlp.gate", "its 'block_sparse_moe.gate.weight' may be the same"),
    ],
)
def test_a_place_that_is_not_certain_is_none(target: str, said: str) -> None:
    model = image_text_model()
    rival = model.before[f"{TOWER}0.self_attn.q_proj.weight"]
    model = replace(model, after={**model.after, "text_model.layers.3.self_attn.q_proj.weight": rival})
    with pytest.raises(RecipeError, match=said) as caught:
        match_adapter(catalog_adapter(lora(target, HIDDEN, HIDDEN)), model)
    assert "merge_and_unload" in caught.value.hint


def test_another_norm_isnt_the_last_one() -> None:
    """Its first parts may be missing in a file, but not those that say that it is of another thing."""
    adapter = catalog_adapter({"model.multi_modal_projector.norm.weight": (HIDDEN,)})
    model = source_model(
        ModelRef(name="m"),
        {"num_hidden_layers": 1},
        catalog_of({"layers.0.q.weight": (HIDDEN, HIDDEN), "norm.weight": (HIDDEN,)}),
    )
    with pytest.raises(RecipeError, match="which m doesn't have"):
        match_adapter(adapter, model)
    assert match_adapter(catalog_adapter({"model.norm.weight": (HIDDEN,)}), model).changes


def test_two_modules_never_make_one_tensor_between_them() -> None:
    names = {"model.a.q.lora_A.weight": (2, HIDDEN), "model.language_model.a.q.lora_B.weight": (HIDDEN, 2)}
    model = source_model(
        ModelRef(name="m"),
        {"num_hidden_layers": 1},
        catalog_of({"model.layers.0.q.weight": (HIDDEN, HIDDEN), "model.a.q.weight": (HIDDEN, HIDDEN)}),
    )
    with pytest.raises(RecipeError, match="are for one tensor of the model"):
        match_adapter(catalog_adapter(names), model)
