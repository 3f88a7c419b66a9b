"""Tensors that belong to places, blocks that layers share, and tensors that hold a part per layer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.depth_indexed import DepthIndexed, depth_indexed, may_be_depth_indexed
from distexpand.architecture.kv_sharing import key_value_sources
from distexpand.architecture.positions import Place, placed_tensors
from distexpand.architecture.shared_blocks import (
    SharedBlocks,
    adapter_user,
    find_shared_blocks,
    renumbered_adapter,
)

PLAIN = ["attn.weight", "mlp.weight"]


def places(layers, **level):
    return [(tensor.suffix, tensor.place, tensor.movable) for tensor in placed_tensors(layers, level)]


@pytest.mark.parametrize(
    "suffix",
    ["layer.0.SelfAttention.relative_attention_bias.weight", "pre_ln.weight", "ln0.bias"],
)
def test_what_serves_whichever_layer_is_first(suffix):
    layers = [[*PLAIN, suffix], PLAIN, PLAIN]
    assert places(layers) == [(suffix, Place.FIRST, True)]
    assert places(layers, is_gated_act=True, layer_types=["a", "b", "b"]) == [(suffix, Place.FIRST, True)]


@pytest.mark.parametrize("suffix", ["attn_norm.weight", "attn.v_lora.lora.0.weight", "attn.v0"])
def test_what_every_layer_but_the_first_has(suffix):
    layers = [PLAIN, [*PLAIN, suffix], [*PLAIN, suffix]]
    assert places(layers) == [(suffix, Place.NOT_FIRST, False)]


def test_what_the_last_layer_alone_has():
    layers = [PLAIN, PLAIN, [*PLAIN, "attention.dense_bias"]]
    assert places(layers) == [("attention.dense_bias", Place.LAST, False)]
    assert places(layers, layer_types=["a", "a", "b"]) == [("attention.dense_bias", Place.LAST, False)]


def test_what_nobody_knows_stays_in_its_place():
    assert places([[*PLAIN, "extra.weight"], PLAIN, PLAIN]) == [("extra.weight", Place.FIRST, False)]
    assert places([PLAIN, PLAIN, [*PLAIN, "extra.weight"]]) == [("extra.weight", Place.LAST, False)]


@pytest.mark.parametrize(
    ("layers", "level"),
    [
        ([[*PLAIN, "a"], PLAIN], {}),
        ([PLAIN, [*PLAIN, "a"], [*PLAIN, "a"]], {}),
        ([[*PLAIN, "a"], PLAIN, PLAIN], {"layer_types": ["x", "y", "y"]}),
        ([[*PLAIN, "a"], PLAIN, PLAIN], {"first_k_dense_replace": 1}),
        ([["attn.weight", "mlp.dense"], ["attn.weight", "mlp.experts"], ["attn.weight", "mlp.experts"]], {}),
        ([PLAIN, PLAIN, PLAIN], {}),
    ],
    ids=["two layers", "not known", "listed", "ruled", "another kind", "alike"],
)
def test_what_is_a_kind_and_no_place(layers, level):
    assert places(layers, **level) == []


ZAMBA = [["mamba.w"], ["mamba_decoder.w", "shared_transformer.attn.w"], ["mamba.w"], ["mamba_decoder.w"]]


def test_layers_that_share_a_block():
    blocks = find_shared_blocks(ZAMBA, {"num_mem_blocks": 1})
    assert blocks == SharedBlocks(users=(1, 3), blocks=1)
    assert [blocks.number(layer) for layer in range(4)] == [None, 0, None, 1]
    assert blocks.owner(1) == 1


def test_layers_that_share_two_blocks_in_turn():
    blocks = SharedBlocks(users=(1, 3, 5, 7), blocks=2)
    assert [blocks.owner(user) for user in range(4)] == [1, 3, 1, 3]


def test_layers_that_share_nothing():
    assert find_shared_blocks([PLAIN, PLAIN], {"num_mem_blocks": 2}) is None


@given(st.integers(0, 99), st.integers(0, 99))
def test_adapters_are_renumbered_and_nothing_else_is(before, after):
    suffix = f"shared_transformer.feed_forward.gate_up_proj_adapter_list.{before}.0.weight"
    assert adapter_user(suffix) == before
    assert adapter_user(renumbered_adapter(suffix, after)) == after
    assert renumbered_adapter(renumbered_adapter(suffix, after), before) == suffix
    assert adapter_user(f"mlp.experts.{before}.weight") is None


PER_LAYER = {"hidden_size_per_layer_input": 8}


@pytest.mark.parametrize(
    ("name", "shape", "found"),
    [
        ("model.embed_tokens_per_layer.weight", (64, 48), DepthIndexed(axis=1, size=8)),
        ("model.language_model.per_layer_model_projection.weight", (48, 32), DepthIndexed(axis=0, size=8)),
        ("model.embed_tokens_per_layer.weight", (64, 40), None),
        ("model.embed_tokens.weight", (64, 48), None),
        ("model.per_layer_projection_norm.weight", (8,), None),
    ],
)
def test_tensors_that_hold_a_part_per_layer(name, shape, found):
    assert depth_indexed(name, shape, PER_LAYER, 6) == found
    assert depth_indexed(name, shape, {}, 6) is None


@pytest.mark.parametrize(
    ("name", "shape", "maybe"),
    [
        ("model.layer_scales", (6,), True),
        ("model.layers_gain.weight", (6, 4), True),
        ("model.layer_norm.weight", (6,), False),
        ("model.per_layer_projection_norm.weight", (6,), False),
        ("model.language_model.per_layer_projection_norm.weight", (6,), False),
        ("model.per_layer_projection_gain", (6,), True),
        ("model.norm.weight", (6,), False),
        ("encoder.layers.3.mlp.weight", (6, 4), False),
        ("model.layer_scales", (4, 6), False),
    ],
)
def test_tensors_that_may_hold_a_value_per_layer(name, shape, maybe):
    assert may_be_depth_indexed(name, shape, 6) is maybe


@pytest.mark.parametrize(
    ("level", "sources"),
    [
        ({}, {}),
        ({"num_kv_shared_layers": 0}, {}),
        ({"num_kv_shared_layers": 6}, {}),
        ({"num_kv_shared_layers": 2}, {"": 3}),
        (
            {"num_kv_shared_layers": 2, "layer_types": ["s", "f", "s", "f", "s", "f"]},
            {"s": 2, "f": 3},
        ),
        ({"num_kv_shared_layers": 2, "layer_types": ["s", "f", "s", "s", "s", "s"]}, {"s": 3}),
    ],
)
def test_whose_keys_and_values_are_shared(level, sources):
    assert key_value_sources(level, 6) == sources
