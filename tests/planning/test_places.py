"""Layers whose place matters: ends of the stack, layers beyond the count, shared blocks, parts per layer."""

import json
from dataclasses import replace

import pytest

from distexpand.errors import ArchitectureError, RecipeError
from distexpand.formats.dtypes import DType
from distexpand.planning.operations import Gather
from tests.planning.named import catalog_of, planned

PLAIN = ("attn.o_proj.weight", "mlp.down_proj.weight")


def stacked(count, extra=(), prefix="model.layers."):
    """Return names of plain layers, with more suffixes by index."""
    names = [f"{prefix}{index}.{suffix}" for index in range(count) for suffix in PLAIN]
    return [*names, *extra]


def layers(*spans, model="a", **more):
    slices = [{"sources": [{"model": model, "layer_range": list(span)}]} for span in spans]
    return json.dumps({"slices": slices, "merge_method": "passthrough", **more})


def result(recipe, tensors, **config):
    built, origins = planned(recipe, {"a": (catalog_of(tensors), {"num_hidden_layers": 4, **config})})
    return json.loads(built.plan.texts[0].text), origins


BIAS = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


@pytest.mark.parametrize("spans", [[(0, 4), (0, 4)], [(2, 4), (0, 4)], [(3, 4)]])
def test_what_belongs_to_the_first_place_is_there_once(spans):
    _, origins = result(layers(*spans), stacked(4, [BIAS], "decoder.block."))
    biases = {name: source for name, source in origins.items() if "relative_attention_bias" in name}
    assert biases == {BIAS: BIAS}


@pytest.mark.parametrize(
    ("suffix", "at", "spans", "said"),
    [
        (
            "attn_norm.weight",
            (1, 2, 3),
            [(1, 4)],
            r"layer 1 can't become output layer 0: every layer but the first",
        ),
        ("attn_norm.weight", (1, 2, 3), [(0, 4), (0, 4)], r"layer 0 can't become output layer 4"),
        (
            "attention.dense_bias",
            (3,),
            [(0, 4), (0, 2)],
            r"layer 3 can't become output layer 3: the last layer alone",
        ),
        ("attention.dense_bias", (3,), [(0, 3)], r"layer 2 can't become output layer 2"),
        (
            "extra.weight",
            (0,),
            [(0, 4), (0, 4)],
            r"layer 0 can't become output layer 4: the first layer alone",
        ),
    ],
)
def test_what_cannot_change_its_place_is_refused(suffix, at, spans, said):
    tensors = stacked(4, [f"model.layers.{index}.{suffix}" for index in at])
    with pytest.raises(ArchitectureError, match=said) as error:
        result(layers(*spans), tensors)
    assert "use that layer nowhere else" in error.value.hint


def test_what_cannot_change_its_place_may_stay_there():
    tensors = stacked(4, [f"model.layers.{index}.attn_norm.weight" for index in (1, 2, 3)])
    _, origins = result(layers((0, 3), (1, 4)), tensors)
    assert origins["model.layers.3.attn_norm.weight"] == "model.layers.1.attn_norm.weight"
    assert "model.layers.0.attn_norm.weight" not in origins


def test_layers_beyond_the_count_move_behind_the_last():
    beyond = [f"model.layers.4.{suffix}" for suffix in ("eh_proj.weight", "enorm.weight", *PLAIN)]
    config, origins = result(layers((0, 4), (2, 4)), stacked(4, beyond), num_nextn_predict_layers=1)
    assert (config["num_hidden_layers"], config["num_nextn_predict_layers"]) == (6, 1)
    assert origins["model.layers.6.enorm.weight"] == "model.layers.4.enorm.weight"
    assert origins["model.layers.6.mlp.down_proj.weight"] == "model.layers.4.mlp.down_proj.weight"
    assert origins["model.layers.5.mlp.down_proj.weight"] == "model.layers.3.mlp.down_proj.weight"
    assert len(origins) == 6 * 2 + 4


def test_layers_beyond_the_count_have_to_be_there_in_the_heads_model():
    both = {
        "a": (catalog_of(stacked(4, ["model.layers.4.eh_proj.weight"])), {"num_hidden_layers": 4}),
        "b": (catalog_of(stacked(4)), {"num_hidden_layers": 4}),
    }
    recipe = json.loads(layers((0, 4)))
    recipe["slices"].append({"sources": [{"model": "b", "layer_range": [2, 4]}]})
    with pytest.raises(RecipeError, match=r"b: has 0 layers beyond the config's count, but the base model a"):
        planned(json.dumps(recipe), both)


def test_a_layers_tensors_under_another_prefix_go_with_it():
    scalars = [f"model.layer_scalars.{index}" for index in range(4)]
    _, origins = result(layers((0, 4), (1, 3)), stacked(4, scalars))
    assert [origins[f"model.layer_scalars.{index}"][-1] for index in range(6)] == list("012312")


def test_numbers_one_off_the_layers_are_refused_in_a_new_order():
    tensors = stacked(6, [f"model.queries.{index}" for index in range(5)])
    with pytest.raises(
        ArchitectureError, match=r"model.queries.0 and so on are one off the number of layers"
    ):
        result(layers((0, 6), (4, 6)), tensors, num_hidden_layers=6)
    _, origins = result(layers((0, 6)), tensors, num_hidden_layers=6)
    assert origins["model.queries.4"] == "model.queries.4"


def zamba(count, blocks):
    """Return Zamba2's names: every other layer shares a block, with an adapter for each user."""
    names = []
    users = range(1, count, 2)
    for index in range(count):
        mixer = "mamba_decoder.mamba" if index in users else "mamba"
        names.append(f"model.layers.{index}.{mixer}.out_proj.weight")
    for block in range(blocks):
        shared = f"model.layers.{2 * block + 1}.shared_transformer."
        names.append(f"{shared}self_attn.o_proj.weight")
        names += [f"{shared}mlp.up_adapter_list.{user}.weight" for user in range(block, len(users), blocks)]
    return names


def zamba_result(blocks, *spans, **more):
    kinds = ["linear_attention", "hybrid"] * 4
    return result(
        layers(*spans, **more),
        zamba(8, blocks),
        num_hidden_layers=8,
        num_mem_blocks=blocks,
        layers_block_type=kinds,
        model_type="zamba2",
        hybrid_layer_ids=[1, 3, 5, 7],
    )


def test_a_shared_block_goes_with_the_first_layer_that_uses_it():
    config, origins = zamba_result(1, (2, 8), (4, 8))
    blocks = {name: source for name, source in origins.items() if "shared" in name}
    old, new = "model.layers.1.shared_transformer.", "model.layers.1.shared_transformer."
    assert blocks[f"{new}self_attn.o_proj.weight"] == f"{old}self_attn.o_proj.weight"
    adapters = [blocks[f"{new}mlp.up_adapter_list.{user}.weight"] for user in range(5)]
    assert adapters == [f"{old}mlp.up_adapter_list.{user}.weight" for user in (1, 2, 3, 2, 3)]
    assert len(blocks) == 6
    assert config["hybrid_layer_ids"] == [1, 3, 5, 7, 9]


def test_two_shared_blocks_keep_their_turns():
    _, origins = zamba_result(2, (0, 8), (4, 8))
    names = {name for name in origins if "up_adapter_list" in name}
    assert {name.split("up_adapter_list.")[1][0] for name in names if ".1.shared" in name} == {"0", "2", "4"}
    assert {name.split("up_adapter_list.")[1][0] for name in names if ".3.shared" in name} == {"1", "3", "5"}
    with pytest.raises(ArchitectureError, match="shared block"):
        zamba_result(2, (0, 8), (6, 8))


@pytest.mark.parametrize(
    ("stored", "order", "expected"),
    [
        ((1, 3, 5, 7), (1, 1, 3, 5, 7), {0: 1, 1: 1, 2: 3, 3: 5, 4: 7}),
        ((1, 3, 5, 7), (3, 1, 3), {0: 3, 1: 1, 2: 3}),
        ((1, 5), (1, 3, 1, 5, 5), {0: 1, 2: 1, 3: 5, 4: 5}),
        ((1,), (1, 1, 3, 1), {0: 1}),
        ((1,), (3, 1), {0: 1}),
    ],
)
def test_a_block_that_is_stored_for_each_layer_is_written_for_each(stored, order, expected):
    names = [name for name in zamba(8, 1) if "shared" not in name]
    names += [f"model.layers.{layer}.shared_transf.self_attn.o_proj.weight" for layer in stored]
    spans = [(layer, layer + 1) for layer in order]
    kinds = ["linear_attention", "hybrid"] * 4
    _, origins = result(
        layers(*spans), names, num_hidden_layers=8, layers_block_type=kinds, model_type="zamba"
    )
    blocks = {name: source for name, source in origins.items() if "shared" in name}
    suffix = "shared_transf.self_attn.o_proj.weight"
    assert blocks == {
        f"model.layers.{new}.{suffix}": f"model.layers.{old}.{suffix}" for new, old in expected.items()
    }


def test_a_shared_block_cannot_be_scaled_for_one_layer():
    recipe = json.loads(layers((0, 8)))
    recipe["slices"][0]["sources"][0]["parameters"] = {
        "scale": [{"filter": "o_proj", "value": 0.5}, {"value": 1}]
    }
    config = {
        "num_hidden_layers": 8,
        "num_mem_blocks": 1,
        "layers_block_type": ["linear_attention", "hybrid"] * 4,
    }
    with pytest.raises(ArchitectureError, match=r"shared by several layers, so it can't be scaled"):
        planned(json.dumps(recipe), {"a": (catalog_of(zamba(8, 1)), config)})


GEMMA = dict.fromkeys(stacked(4), (4, 4)) | {
    "model.embed_tokens_per_layer.weight": (10, 8),
    "model.per_layer_model_projection.weight": (8, 4),
}


def gemma(recipe, **config):
    level = {"num_hidden_layers": 4, "hidden_size_per_layer_input": 2, **config}
    return planned(recipe, {"a": (catalog_of(GEMMA), level), "b": (catalog_of(GEMMA), level)})


def test_parts_per_layer_follow_their_layers():
    built, origins = gemma(layers((0, 3), (1, 4)))
    assert origins["model.embed_tokens_per_layer.weight"] == "Gather"
    gathers = [o for shard in built.plan.shards for o in shard.operations if isinstance(o, Gather)]
    assert {(o.row, o.part, o.length) for o in gathers} == {(16, 4, 240), (64, 16, 96)}
    assert {o.parts for o in gathers} == {(0, 1, 2, 1, 2, 3)}
    _, origins = gemma(layers((0, 4)))
    assert origins["model.embed_tokens_per_layer.weight"] == "model.embed_tokens_per_layer.weight"


VISION = [f"model.vision_tower.blocks.{index}.attn.o_proj.weight" for index in range(3)]
BESIDE_TEXT = {
    "model.language_model.embed_tokens_per_layer.weight": (10, 8),
    "model.language_model.per_layer_model_projection.weight": (8, 4),
}


@pytest.mark.parametrize(
    ("modules", "parts"),
    [
        ({"vision": [(0, 3)], "text": [(0, 4), (3, 4)]}, (0, 1, 2, 3, 3)),
        ({"text": [(1, 4)], "vision": [(0, 3)]}, (1, 2, 3)),
        ({"vision": [(0, 3), (2, 3)]}, None),
    ],
)
def test_parts_per_layer_follow_the_layers_of_their_own_stack(modules, parts):
    recipe = {
        "modules": {
            name: {"slices": [{"sources": [{"model": "a", "layer_range": list(span)}]} for span in spans]}
            for name, spans in modules.items()
        },
        "merge_method": "passthrough",
    }
    text = stacked(4, prefix="model.language_model.layers.")
    tensors = {**dict.fromkeys([*VISION, *text], (4,)), **BESIDE_TEXT}
    config = {
        "text_config": {"num_hidden_layers": 4, "hidden_size_per_layer_input": 2},
        "vision_config": {"num_hidden_layers": 3},
    }
    built, origins = planned(json.dumps(recipe), {"a": (catalog_of(tensors), config)})
    found = [o.parts for shard in built.plan.shards for o in shard.operations if isinstance(o, Gather)]
    assert found == ([parts] * 2 if parts else [])
    assert all((origins[name] == "Gather") == bool(parts) for name in BESIDE_TEXT)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("per_layer_model_projection.weight_scale", (8, 1)),
        ("per_layer_model_projection.weight_packed", (8, 2)),
        ("per_layer_model_projection.bias", (8,)),
        ("embed_tokens_per_layer.weight_scale", (10, 1)),
        ("embed_tokens_per_layer.weight", (10, 4)),
    ],
)
def test_parts_per_layer_that_are_stored_otherwise_are_refused_in_a_new_order(name, shape):
    tensors = {**dict.fromkeys(stacked(4), (4,)), f"model.{name}": shape}
    with pytest.raises(ArchitectureError, match="it may hold a value for every layer"):
        result(layers((0, 3), (1, 4)), tensors, hidden_size_per_layer_input=2)
    _, origins = result(layers((0, 4)), tensors, hidden_size_per_layer_input=2)
    assert origins[f"model.{name}"] == f"model.{name}"


def test_one_scale_for_all_parts_is_copied():
    scale = "model.per_layer_model_projection.weight_scale"
    tensors = {**dict.fromkeys(stacked(4), (4,)), scale: (1,)}
    _, origins = result(layers((0, 3), (1, 4)), tensors, hidden_size_per_layer_input=2)
    assert origins[scale] == scale


def test_parts_of_half_a_byte_are_refused():
    tensors = {**dict.fromkeys(stacked(4), (4,)), "model.embed_tokens_per_layer.weight": (10, 4)}
    catalog = catalog_of(tensors)
    entry = catalog.tensors["model.embed_tokens_per_layer.weight"]
    packed = entry._replace(dtype=DType.F4, length=20)
    catalog = replace(catalog, tensors={**catalog.tensors, entry.name: packed})
    level = {"num_hidden_layers": 4, "hidden_size_per_layer_input": 1}
    with pytest.raises(ArchitectureError, match="it may hold a value for every layer"):
        planned(layers((0, 3), (1, 4)), {"a": (catalog, level)})


def test_parts_per_layer_of_two_models_are_refused():
    recipe = json.loads(layers((0, 4)))
    recipe["slices"].append({"sources": [{"model": "b", "layer_range": [2, 4]}]})
    with pytest.raises(
        ArchitectureError, match="holds a part for every layer, and the recipe takes layers from b"
    ):
        gemma(json.dumps(recipe))


def test_parts_per_layer_are_only_copied():
    with pytest.raises(ArchitectureError, match="can be copied only, not scaled or cast"):
        gemma(layers((0, 4), (2, 4), dtype="float16"))


def test_a_value_per_layer_that_nobody_knows_is_refused():
    with pytest.raises(ArchitectureError, match=r"'model.layer_gains' is \[4\] beside 4 layers"):
        result(layers((0, 4), (2, 4)), {**dict.fromkeys(stacked(4), (4, 4)), "model.layer_gains": (4,)})


def test_an_identity_block_may_not_give_keys_and_values_to_others():
    recipe = json.loads(layers((0, 2), (2, 4)))
    block = {"model": "a", "layer_range": [1, 2], "identity": True}
    recipe["slices"].insert(1, {"sources": [block]})
    config = {"num_kv_shared_layers": 2}
    with pytest.raises(ArchitectureError, match="output layer 2 can't be an identity block"):
        result(json.dumps(recipe), stacked(4), **config)


BART = [*stacked(4, prefix="model.encoder.layers."), *stacked(4, prefix="model.decoder.layers.")]
BART_CONFIG = {"encoder_layers": 4, "decoder_layers": 4}


def test_several_stacks_in_one_recipe():
    def slices(*spans):
        return {"slices": [{"sources": [{"model": "a", "layer_range": list(span)}]} for span in spans]}

    modules = {"decoder": slices((0, 4), (2, 4)), "encoder": slices((0, 2), (1, 4))}
    recipe = json.dumps({"modules": modules, "merge_method": "passthrough"})
    built, origins = planned(recipe, {"a": (catalog_of([*BART, "shared.weight"]), BART_CONFIG)})
    config = json.loads(built.plan.texts[0].text)
    assert config == {"encoder_layers": 5, "decoder_layers": 6}
    assert built.plan.layer_prefix == "model.decoder.layers."
    assert origins["model.encoder.layers.4.attn.o_proj.weight"] == "model.encoder.layers.3.attn.o_proj.weight"
    assert origins["model.decoder.layers.4.attn.o_proj.weight"] == "model.decoder.layers.2.attn.o_proj.weight"
    assert len(origins) == (5 + 6) * 2 + 1


def test_stacks_that_are_not_named_are_copied():
    recipe = layers((0, 4), (0, 4), stack="model.encoder.layers")
    built, origins = planned(recipe, {"a": (catalog_of(BART), BART_CONFIG)})
    assert json.loads(built.plan.texts[0].text) == {"encoder_layers": 8, "decoder_layers": 4}
    assert [name for name in origins if "decoder" in name] == [
        name for name in sorted(BART) if "decoder" in name
    ]


def test_one_stack_under_two_names_is_refused():
    module = {"slices": [{"sources": [{"model": "a", "layer_range": [0, 4]}]}]}
    modules = {"encoder": module, "model.encoder.layers": module}
    recipe = json.dumps({"modules": modules, "merge_method": "passthrough"})
    with pytest.raises(
        RecipeError, match=r"'model.encoder.layers' names model.encoder.layers., which another"
    ):
        planned(recipe, {"a": (catalog_of(BART), BART_CONFIG)})
