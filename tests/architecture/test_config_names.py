"""Names of layers in a config's texts follow their layers, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.stacks.stack import LayerStack


def remap(config, order, *, count=4, prefix="model.layers.", others=()):
    stack = LayerStack(prefix=prefix, num_layers=count, count_path=("num_hidden_layers",))
    config = {"num_hidden_layers": count, **config}
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in order]
    layers += [LayerConfig(config=o, stack=stack, layer=layer, origin="o") for o, layer in others]
    return remap_config(config, stack, layers)


def quantised(value, order=(0, 1, 1, 3), **more):
    result = remap({"quantization_config": {"it": value}}, order, **more)
    return result.config["quantization_config"]["it"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lm_head", "model.layers.1.mlp"], ["lm_head", "model.layers.1.mlp", "model.layers.2.mlp"]),
        (["model.layers.2.mlp", "lm_head"], ["lm_head"]),
        (["model.layers.3"], ["model.layers.3"]),
        (["model.layers.10.mlp", "re:.*"], ["re:.*"]),
        (["re:.*layers\\.1\\..*"], ["re:.*layers\\.1\\..*", "re:.*layers\\.2\\..*"]),
        (["vision_tower.encoder.layers.1.mlp"], ["vision_tower.encoder.layers.1.mlp"]),
        (["model.layers.0.mlp.experts.1.up"], ["model.layers.0.mlp.experts.1.up"]),
        (["model.mtp_layers.1.mlp"], ["model.mtp_layers.1.mlp"]),
    ],
    ids=str,
)
def test_entries_of_lists(names, expected):
    assert quantised(names) == expected


def test_keys_of_tables_take_what_lies_under_them_along():
    table = {"model.layers.1.mlp": {"bits": 8}, "model.layers.2.mlp": {"bits": 2}, "lm_head": {"bits": 4}}
    assert quantised(table) == {
        "model.layers.1.mlp": {"bits": 8},
        "model.layers.2.mlp": {"bits": 8},
        "lm_head": {"bits": 4},
    }
    assert quantised({"-:.*\\.1\\..*": {}}) == {"-:.*\\.1\\..*": {}, "-:.*\\.2\\..*": {}}


def test_a_single_text_follows_where_there_is_one_place_for_it():
    assert remap({"probe": "model.layers.3"}, [0, 3]).config["probe"] == "model.layers.1"
    result = remap({"probe": "model.layers.3"}, [3, 3])
    assert result.config["probe"] == "model.layers.3"
    assert [finding.code for finding in result.findings] == ["config-rule"]


def test_a_pattern_in_the_number_s_place_is_reported():
    names = ["re:.*layers\\.(0|1)\\..*"]
    result = remap({"quantization_config": {"ignore": names}}, [0, 1, 1])
    assert result.config["quantization_config"]["ignore"] == names
    assert ["ignore" in finding.message for finding in result.findings] == [True]


def test_layers_of_another_source_bring_their_own_entries():
    other = {"num_hidden_layers": 4, "quantization_config": {"it": ["lm_head", "model.layers.0.mlp"]}}
    assert quantised(["lm_head", "model.layers.1.mlp"], (0, 1), others=[(other, 0), (other, 1)]) == [
        "lm_head",
        "model.layers.1.mlp",
        "model.layers.2.mlp",
    ]


def test_an_encoder_s_names_are_not_the_decoder_s():
    names = ["model.encoder.layers.1.fc1", "model.decoder.layers.1.fc1"]
    assert quantised(names, (1,), prefix="model.decoder.layers.") == [names[0], "model.decoder.layers.0.fc1"]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=8),
    st.sets(st.integers(0, 3)),
)
def test_an_output_layer_is_named_as_often_as_its_source_layer(order, named):
    names = [f"model.layers.{layer}.mlp" for layer in sorted(named)]
    expected = {f"model.layers.{place}.mlp" for place, layer in enumerate(order) if layer in named}
    found = quantised(names, order)
    assert set(found) == expected
    assert len(found) == len(expected)
