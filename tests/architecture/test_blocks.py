"""Configs that count the parts of layers: found by structure, read in layers, written in parts again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.config.remap import LayerConfig, config_level, layer_kind, remap_config
from distexpand.architecture.stacks.blocks import in_blocks, in_layers
from distexpand.architecture.stacks.stack import find_layer_stack
from distexpand.errors import ArchitectureError

TWO = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
CONFIG = {
    "num_hidden_layers": 6,
    "n_layers": 6,
    "layer_types": ["full", "mlp", "sliding", "mlp", "full", "mlp"],
    "n_first_layers": 2,
    "loops": 2,
}


def names(suffixes=TWO, layers=3, prefix="model.layers."):
    return [f"{prefix}{layer}.{suffix}" for layer in range(layers) for suffix in suffixes]


def stack_of(tensors, config):
    return find_layer_stack(tensors, config, origin="model")


def remapped(config, order):
    stack = stack_of(names(), config)
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in order]
    return remap_config(config, stack, layers)


def test_a_count_of_blocks_is_found_by_the_list_beside_it():
    stack = stack_of(names(), CONFIG)
    assert (stack.num_layers, stack.blocks) == (3, 2)
    assert stack.count_paths == (("num_hidden_layers",), ("n_layers",))
    nested = stack_of(names(), {"text_config": CONFIG, "num_hidden_layers": 6})
    assert nested.count_path == ("text_config", "num_hidden_layers")
    assert nested.also_counted == (("num_hidden_layers",), ("text_config", "n_layers"))


def test_layers_of_three_parts_are_found_too():
    tensors = names(("cross.o.weight", *TWO))
    stack = stack_of(tensors, {"num_hidden_layers": 9, "layer_types": ["full", "cross", "mlp"] * 3})
    assert (stack.num_layers, stack.blocks) == (3, 3)


@pytest.mark.parametrize(
    ("tensors", "kinds"),
    [
        (names(), ["sliding", "full"] * 3),
        (names(), ["full", "mlp", "full", "mlp", "mlp", "full"]),
        (names(), ["mlp", "full"] * 3),
        (names(("mixer.w",)), ["mamba", "mlp"] * 3),
        (names(("mlp.w",)), ["full", "mlp"] * 3),
        ([*names(TWO[:1]), *names(TWO[1:], 2)], ["full", "mlp"] * 3),
        (names(), ["full", "mlp"] * 2),
        (names(), [1, 2] * 3),
    ],
    ids=["kinds", "no pattern", "not first", "one part", "one part named", "one without", "short", "numbers"],
)
def test_half_a_model_is_not_taken_for_one_in_blocks(tensors, kinds):
    with pytest.raises(ArchitectureError, match="no run of layers agrees"):
        stack_of(tensors, {"num_hidden_layers": 6, "layer_types": kinds})


def test_very_many_runs_cost_no_more_than_their_names():
    tensors = [f"part{at}.{layer}.mlp.w" for at in range(3_000) for layer in range(2)]
    with pytest.raises(ArchitectureError, match="no run of layers agrees"):
        stack_of(tensors, {"num_hidden_layers": 4, "layer_types": ["full", "mlp"] * 2})


def test_layers_are_counted_and_listed_in_blocks_again():
    result = remapped(CONFIG, [0, 1, 2, 1])
    assert result.config == {
        **CONFIG,
        "num_hidden_layers": 8,
        "n_layers": 8,
        "layer_types": ["full", "mlp", "sliding", "mlp", "full", "mlp", "sliding", "mlp"],
    }
    assert remapped(CONFIG, [0, 1, 2]).config == CONFIG


def test_a_source_in_layers_fits_a_base_in_blocks():
    other = {"num_hidden_layers": 3, "layer_types": ["other", "sliding", "full"]}
    stack, theirs = stack_of(names(), CONFIG), stack_of(names(), other)
    layers = [
        LayerConfig(config=CONFIG, stack=stack, layer=0, origin="m"),
        LayerConfig(config=other, stack=theirs, layer=0, origin="o"),
    ]
    assert [layer_kind(layer) for layer in layers] == ["full", "other"]
    assert remap_config(CONFIG, stack, layers).config["layer_types"] == ["full", "mlp", "other", "mlp"]


def test_a_level_in_layers_stays_as_it_is():
    stack = stack_of(names(), CONFIG)
    level = config_level(CONFIG, stack)
    assert level == {
        "num_hidden_layers": 3,
        "n_layers": 3,
        "layer_types": ["full", "sliding", "full"],
        "n_first_layers": 1,
        "loops": 2,
    }
    assert config_level(level, stack) is level


@given(st.integers(1, 4), st.integers(2, 3), st.data())
def test_what_is_read_is_written_again(layers, blocks, data):
    total = layers * blocks
    old = data.draw(st.lists(st.sampled_from("ab"), min_size=total, max_size=total))
    read = in_layers({"num_layers": total, "kinds": old}, layers, blocks)
    assert len(read["kinds"]) == layers
    assert in_blocks("kinds", old, read["kinds"], layers, blocks) == old


@given(st.integers(0, 9), st.integers(1, 3))
def test_counts_of_some_layers_are_read_and_written(count, blocks):
    level = {"num_layers": 10 * blocks, "n_output_layers": count * blocks, "n_loops": blocks}
    read = in_layers(level, 10, blocks)
    assert (read["n_output_layers"], read["n_loops"]) == (count, blocks)
    assert in_blocks("n_output_layers", None, count, 10, blocks) == count * blocks
    assert in_blocks("n_loops", None, count, 10, blocks) == count
