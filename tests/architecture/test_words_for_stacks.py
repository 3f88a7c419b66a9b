"""Every word and key by which stacks are told apart or counted makes a difference of its own."""

import pytest

from distexpand.architecture.stacks.counts import BEYOND_KEYS, with_decoder_count
from distexpand.architecture.stacks.stack import find_layer_stack
from tests.architecture.test_several_stacks import names

SIDES = [
    *("vision", "visual", "vit", "image", "images", "img", "pixel", "video"),
    *("audio", "speech", "sound", "acoustic", "qformer", "q_former", "resampler", "perceiver"),
    *("talker", "token2wav", "code2wav", "code_predictor", "codec", "depth_decoder", "vocoder"),
    *("mtp", "nextn", "draft", "eagle", "medusa"),
]


@pytest.mark.parametrize("word", SIDES)
def test_a_part_beside_the_model_is_not_the_model(word):
    tensors = [*names(f"{word}.blocks.", 3), *names("body.blocks.", 3)]
    config = {"num_hidden_layers": 3, f"{word}_config": {"num_hidden_layers": 3}}
    assert find_layer_stack(tensors, config, origin="model").prefix == "body.blocks."
    named = find_layer_stack(tensors, config, origin="model", wanted=word)
    assert named.count_paths == ((f"{word}_config", "num_hidden_layers"),)


@pytest.mark.parametrize("word", ["text", "language", "llm", "lm"])
def test_words_for_the_language_model(word):
    tensors = [*names(f"{word}_model.blocks.", 3)]
    config = {"num_hidden_layers": 3, f"{word}_config": {"num_hidden_layers": 3}, "odd": {"num_layers": 3}}
    path = find_layer_stack(tensors, config, origin="model").count_path
    assert path == (f"{word}_config", "num_hidden_layers")


@pytest.mark.parametrize("key", BEYOND_KEYS)
def test_every_name_of_the_number_of_layers_beyond(key):
    assert find_layer_stack(names("layers.", 5), {"num_layers": 3, key: 2}, origin="model").beyond == 2


@pytest.mark.parametrize(
    "suffix", ["eh_proj.w", "enorm.w", "hnorm.w", "shared_head.norm.w", "embed_tokens.w", "mtp.w", "nextn.w"]
)
def test_every_tensor_that_only_layers_beyond_have(suffix):
    tensors = [*names("layers.", 5), f"layers.3.{suffix}", f"layers.4.{suffix}"]
    assert find_layer_stack(tensors, {"num_layers": 3}, origin="model").beyond == 2


@pytest.mark.parametrize(
    "model_type", ["t5", "mt5", "umt5", "longt5", "switch_transformers", "pop2piano", "udop"]
)
def test_models_whose_decoder_is_as_deep_as_the_encoder(model_type):
    config = {"model_type": model_type, "num_layers": 3, "num_decoder_layers": None}
    assert with_decoder_count(config)["num_decoder_layers"] == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_types", ["a", "b", "a"]),
        ("layers_block_type", ["a", "b", "a"]),
        ("block_types", ["a", "b", "a"]),
        ("block_pattern", "aba"),
        ("hybrid_override_pattern", "M*-"),
    ],
)
def test_values_whose_length_is_the_count(key, value):
    stack = find_layer_stack(names("layers.", 3), {key: value, f"mtp_{key}": "ab"}, origin="model")
    assert (stack.num_layers, stack.count_path) == (3, (key,))
