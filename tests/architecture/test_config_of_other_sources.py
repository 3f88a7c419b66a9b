"""Layers of other sources: what their own config says of them holds in the output, or is refused."""

import pytest

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError

STACK = LayerStack(prefix="model.layers.", num_layers=4, count_path=("num_hidden_layers",))
ORDER = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3))


def merged(base, other, model_type="some"):
    configs = [{"num_hidden_layers": 4, "model_type": model_type, **config} for config in (base, other)]
    layers = [
        LayerConfig(config=configs[source], stack=STACK, layer=layer, origin=f"m{source}")
        for source, layer in ORDER
    ]
    return remap_config(configs[0], STACK, layers).config


def test_unknown_indices_are_those_of_each_layers_own_source():
    found = merged({"some_layer_indices": [0, 2]}, {"some_layer_indices": [0, 1, 3]})
    assert found["some_layer_indices"] == [0, 2, 3, 5]


def test_unknown_indices_stay_where_a_source_has_something_else():
    assert merged({"some_layer_indices": [0, 2]}, {"some_layer_indices": "x"})["some_layer_indices"] == [0, 2]


def test_a_rule_that_only_another_source_has_is_refused_where_it_matters():
    with pytest.raises(ArchitectureError, match="'first_k_dense_replace' can't express"):
        merged({}, {"first_k_dense_replace": 3})
    assert merged({}, {"first_k_dense_replace": 0}) == merged({}, {})


def test_a_list_that_only_another_source_has_is_refused_where_it_tells_layers_apart():
    with pytest.raises(ArchitectureError, match=r"^m1: config\.json: tells layers apart by 'layer_types'"):
        merged({}, {"layer_types": ["full", "full", "sliding", "full"]})
    assert merged({}, {"layer_types": ["full"] * 4}) == merged({}, {})


def test_a_list_that_the_base_models_class_makes_up_is_written():
    full, window = "full_attention", "sliding_attention"
    found = merged({}, {"layer_types": [full, full, full, window]}, model_type="gemma2")
    assert found["layer_types"] == [window, full, full, full, full, window]
