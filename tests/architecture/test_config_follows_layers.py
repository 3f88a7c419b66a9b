"""The config follows its layers: every per-layer list, the count at each level, and nothing else."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.config.remap import LayerConfig, layer_kind, per_layer_keys, remap_config
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError

TOP = ("num_hidden_layers",)


def stack_of(count, path=TOP, *also):
    return LayerStack(prefix="model.layers.", num_layers=count, count_path=path, also_counted=also)


def remap(config, count, order, path=TOP, *also):
    stack = stack_of(count, path, *also)
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
    result = remap(
        config, 2, [0, 1, 1], ("text_config", "num_hidden_layers"), TOP, ("text_config", "n_layer")
    ).config
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
    for key in ("moe_layers", "unheard_of"):
        result = remap({"num_hidden_layers": 3, key: [0, 1, 2]}, 3, [0, 0, 1, 2])
        assert result.config[key] == [0, 1, 2, 3]


def test_layers_beyond_the_count_keep_their_entries():
    config = {
        "num_hidden_layers": 3,
        "num_nextn_predict_layers": 1,
        "layer_types": ["a", "b", "c", "mtp"],
        "mtp_layer_types": ["x", "y", "z"],
    }
    result = remap(config, 3, [0, 1, 1, 2]).config
    assert result["layer_types"] == ["a", "b", "b", "c", "mtp"]
    assert result["mtp_layer_types"] == ["x", "y", "z"]


def test_tables_by_index_follow_their_layers():
    config = {
        "num_hidden_layers": 12,
        "per_layer_config": {"01": {"a": 1}, "11": {"a": 2}},
        "id2label": {"0": "x"},
    }
    result = remap(config, 12, [0, 1, 1, 11, 2]).config
    assert result["per_layer_config"] == {"1": {"a": 1}, "2": {"a": 1}, "3": {"a": 2}}
    assert result["id2label"] == {"0": "x"}
    assert remap(config, 12, range(12)).config == config


def test_patterns_in_letters_follow_their_layers():
    config = {"num_hidden_layers": 4, "hybrid_override_pattern": "M*-E", "name_pattern": "none"}
    result = remap(config, 4, [0, 1, 0, 1, 2, 3])
    assert result.config["hybrid_override_pattern"] == "M*M*-E"


def test_an_unknown_list_by_layer_is_reported_and_a_known_one_is_not():
    config = {"num_hidden_layers": 3, "layer_types": ["a", "b", "c"], "gizmos": [1, 2, 3]}
    (finding,) = remap(config, 3, [0, 1, 2, 2]).findings
    assert finding.code == "config-list"
    assert "gizmos" in finding.message


def test_another_source_without_a_list_gives_what_its_class_makes_up():
    base = {"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": ["full_attention", "x"]}
    other = {"model_type": "gemma2", "num_hidden_layers": 3}
    layers = [
        LayerConfig(config=base, stack=stack_of(2), layer=1, origin="base"),
        *(LayerConfig(config=other, stack=stack_of(3), layer=layer, origin="other") for layer in (0, 1)),
    ]
    result = remap_config(base, stack_of(2), layers).config
    assert result["layer_types"] == ["x", "sliding_attention", "full_attention"]


def test_pictures_are_fed_into_the_first_copy_of_a_layer():
    path = ("text_config", "num_hidden_layers")
    config = {
        "model_type": "granite4_vision",
        "text_config": {"num_hidden_layers": 24},
        "deepstack_layer_map": [[-1, 0], [-2, 3]],
    }
    result = remap(config, 24, [0, 0, 1, 2, *range(24)], path).config
    assert result["deepstack_layer_map"] == [[-1, 0], [-2, 7]]
    assert result["spatial_target_layers"] == [16, 19, 22, 25]
    assert remap(config, 24, range(24), path).config == config
    with pytest.raises(ArchitectureError, match="into layer 3"):
        remap(config, 24, [0, *range(4, 24)], path)


def test_features_for_the_first_layers_are_reported_when_those_are_others():
    config = {"text_config": {"num_hidden_layers": 4}, "vision_config": {"deepstack_visual_indexes": [5, 6]}}
    path = ("text_config", "num_hidden_layers")
    assert remap(config, 4, [0, 1, 1, 2], path).findings == ()
    (finding,) = remap(config, 4, [0, 0, 1, 2], path).findings
    assert "deepstack_visual_indexes" in finding.message


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


def test_a_list_longer_than_the_count_follows_too():
    kinds, rotary = ["a", "b", "a", "b", "c", "d"], [1, 0, 1, 1, 0, 0]
    config = {"num_hidden_layers": 4, "layer_types": kinds, "no_rope_layers": rotary}
    result = remap(config, 4, [0, 1, 1, 2, 3]).config
    assert result["layer_types"] == ["a", "b", "b", "a", "b", "c", "d"]
    assert result["no_rope_layers"] == [1, 0, 0, 1, 1, 0, 0]


def test_a_longer_list_of_another_stack_stays():
    config = {"decoder_layers": 2, "encoder_layers": 3, "attention_window": [8, 16, 32]}
    assert remap(config, 2, [0, 0, 1], ("decoder_layers",)).config["attention_window"] == [8, 16, 32]


def test_a_list_that_counts_up_by_chance_stays():
    config = {"num_hidden_layers": 2, "eos_token_id": [0, 1], "moe_layers": [0, 1]}
    result = remap(config, 2, [0, 0, 1]).config
    assert result["eos_token_id"] == [0, 1]
    assert result["moe_layers"] == [0, 1, 2]


def test_a_stack_of_one_layer_keeps_what_has_one_entry():
    config = {"num_hidden_layers": 1, "tags": ["a"], "keys_to_ignore_at_inference": ["past_key_values"]}
    assert remap(config, 1, [0, 0]).config == {**config, "num_hidden_layers": 2}


def test_a_table_whose_keys_only_look_like_numbers_stays():
    table = {"²": 1, "0": 2}
    config = {"num_hidden_layers": 2, "pruned_layers": table}
    assert remap(config, 2, [0, 0, 1]).config["pruned_layers"] == table
