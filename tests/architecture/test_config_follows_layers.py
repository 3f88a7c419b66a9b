"""The config follows its layers: every per-layer list, the count at each level, and nothing else."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.config_remap import LayerConfig, layer_kind, per_layer_keys, remap_config
from distexpand.architecture.stack import LayerStack
from distexpand.errors import ArchitectureError

TOP = ("num_hidden_layers",)


def stack_of(count, path=TOP):
    return LayerStack(prefix="model.layers.", num_layers=count, count_path=path)


def remap(config, count, order, path=TOP):
    stack = stack_of(count, path)
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in order]
    return remap_config(config, stack, layers)


@given(st.data(), st.integers(1, 9))
def test_lists_follow_their_layers(data, count):
    kinds = st.lists(st.sampled_from(["full_attention", "sliding_attention"]), min_size=count, max_size=count)
    widths = st.lists(st.floats(allow_nan=False), min_size=count, max_size=count)
    config = {"num_hidden_layers": count, "layer_types": data.draw(kinds), "mlp_widths": data.draw(widths)}
    order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=20))
    before = copy.deepcopy(config)
    result = remap(config, count, order)
    assert config == before
    assert result.config["num_hidden_layers"] == len(order)
    for key in ("layer_types", "mlp_widths"):
        assert result.config[key] == [before[key][layer] for layer in order]
    assert remap(result.config, len(order), range(len(order))).config == result.config


def test_nested_config_changes_at_its_own_level_and_the_count_above():
    config = {
        "num_hidden_layers": 2,
        "layer_types": ["top", "top"],
        "vision_config": {"num_hidden_layers": 2, "layer_types": ["v", "v"]},
        "text_config": {"num_hidden_layers": 2, "n_layer": 2, "layer_types": ["a", "b"]},
    }
    result = remap(config, 2, [0, 1, 1], ("text_config", "num_hidden_layers")).config
    assert result["text_config"] == {"num_hidden_layers": 3, "n_layer": 3, "layer_types": ["a", "b", "b"]}
    assert result["num_hidden_layers"] == 3
    assert result["vision_config"] == config["vision_config"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architectures", ["A", "B"]),
        ("eos_token_id", [1, 2]),
        ("forced_eos_token_ids", [3, 4]),
        ("bad_words_ids", [[1], [2]]),
        ("suppress_tokens", [7, 8]),
        ("mrope_section", [16, 24]),
        ("time_step_limit", [0.0, 1.0]),
        ("mlp_multipliers", [1.0, 2.0]),
        ("image_sizes", [224, 336]),
        ("rope_scaling", {"long_factor": [1.0, 2.0]}),
        ("longer", ["a", "b", "c"]),
    ],
)
def test_lists_that_are_as_long_by_chance_stay(key, value):
    config = {"num_hidden_layers": 2, key: value}
    assert per_layer_keys(config, stack_of(2)) == ()
    assert remap(config, 2, [0, 1, 0]).config[key] == value


@pytest.mark.parametrize(
    "key",
    [
        "layer_types",
        "no_rope_layers",
        "layers_block_type",
        "block_configs",
        "num_kv_heads",
        "attention_layers",
    ],
)
def test_lists_of_real_models_are_per_layer(key):
    assert per_layer_keys({"num_hidden_layers": 2, key: ["x", "y"]}, stack_of(2)) == (key,)


@pytest.mark.parametrize("key", ["ffn_multipliers", "intermediate_sizes", "layer_scale_factors"])
def test_lists_of_numbers_are_per_layer_in_a_stack_too_tall_for_chance(key):
    values = [index / 8 for index in range(8)]
    result = remap({"num_hidden_layers": 8, key: values}, 8, [0, 1, 1, 7])
    assert result.config[key] == [values[0], values[1], values[1], values[7]]


def test_a_list_of_every_layer_by_index_names_every_new_layer():
    config = {"num_hidden_layers": 3, "moe_layers": [0, 1, 2]}
    result = remap(config, 3, [0, 0, 1, 2])
    assert result.config["moe_layers"] == [0, 1, 2, 3]
    assert result.remapped == ()


def test_another_source_gives_its_own_values():
    base = {"num_hidden_layers": 2, "layer_types": ["a", "b"]}
    other = {"num_hidden_layers": 3, "layer_types": ["x", "y", "z"]}
    layers = [
        LayerConfig(config=base, stack=stack_of(2), layer=0, origin="base"),
        LayerConfig(config=other, stack=stack_of(3), layer=2, origin="other"),
    ]
    assert remap_config(base, stack_of(2), layers).config["layer_types"] == ["a", "z"]
    assert [layer_kind(layer) for layer in layers] == ["a", "z"]
    for broken in ({"num_hidden_layers": 3}, {**other, "layer_types": ["x"]}, {**other, "layer_types": None}):
        layers[1] = LayerConfig(config=broken, stack=stack_of(3), layer=2, origin="other")
        with pytest.raises(ArchitectureError, match=r"^other: config.json: 'layer_types'"):
            remap_config(base, stack_of(2), layers)


def test_embeddings_per_layer_are_refused_unless_nothing_moves():
    config = {"num_hidden_layers": 2, "hidden_size_per_layer_input": 256}
    assert remap(config, 2, [0, 1]).config == config
    for order in ([1, 0], [0, 1, 1], [0]):
        with pytest.raises(ArchitectureError, match="hidden_size_per_layer_input"):
            remap(config, 2, order)


@pytest.mark.parametrize(
    ("config", "reported"),
    [
        ({"first_k_dense_replace": 1}, ["first_k_dense_replace"]),
        ({"mlp_only_layers": [0]}, ["mlp_only_layers"]),
        ({"mlp_only_layers": []}, []),
        ({"decoder_sparse_step": 2}, ["decoder_sparse_step"]),
        ({"decoder_sparse_step": 1}, []),
        ({"sliding_window_pattern": 6}, ["sliding_window_pattern"]),
        ({"sliding_window_pattern": 6, "layer_types": ["a", "b"]}, []),
        ({"max_window_layers": 28, "use_sliding_window": False}, []),
        ({"max_window_layers": 1, "use_sliding_window": True}, ["max_window_layers"]),
        ({"scale_attn_by_inverse_layer_idx": True}, ["scale_attn_by_inverse_layer_idx"]),
        ({"scale_attn_by_inverse_layer_idx": False}, []),
        ({"model_type": "diffllama"}, ["diffllama"]),
        ({"hybrid_layer_ids": [1]}, ["hybrid_layer_ids"]),
        ({"some_layer_indices": [1]}, ["some_layer_indices"]),
        ({"block_types": ["recurrent", "recurrent", "attention"]}, ["block_types"]),
        ({"quantization_config": {"modules_to_not_convert": ["lm_head"]}}, []),
        (
            {"quantization_config": {"modules_to_not_convert": ["lm_head", "model.layers.1.mlp"]}},
            ["quantization_config.modules_to_not_convert"],
        ),
    ],
    ids=str,
)
def test_rules_that_stay_are_reported(config, reported):
    findings = remap({"num_hidden_layers": 2, **config}, 2, [0, 1, 1]).findings
    assert len(findings) == len(reported)
    assert all(name in finding.message for name, finding in zip(reported, findings, strict=True))


@pytest.mark.parametrize(
    "model_type", ["llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "smollm3", "cohere2"]
)
def test_transformers_takes_the_remapped_config(tmp_path, model_type):
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(model_type, num_hidden_layers=6).to_dict()
    order = [0, 1, 2, 1, 2, 3, 3, 4, 5]
    result = remap(config, 6, order).config
    again = transformers.AutoConfig.for_model(**result)
    again.save_pretrained(tmp_path)
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    assert read.num_hidden_layers == len(order)
    if "layer_types" in config:
        assert read.layer_types == [config["layer_types"][layer] for layer in order]
