"""Published models of language and images, whose language model's config is nested: Gemma 3, Llama 4.

Not known for sure: whether Llama 4's `no_rope_layers` is published as an empty list, as it
was first, or written out; `attn_temperature_tuning`, first 4, has to be true for transformers 5.
"""

from collections.abc import Iterator

from tests.support.published_model import (
    Config,
    Tensor,
    attention,
    biased,
    gated,
    norms,
    under,
    weights,
)


def gemma3_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Gemma 3 with images; the head is the embeddings."""
    text, vision = config["text_config"], config["vision_config"]
    hidden = text["hidden_size"]
    vocab = 262208  # not in the published config; the class's default
    yield from weights(("language_model.model.embed_tokens", vocab, hidden))
    for layer in range(text["num_hidden_layers"]):
        yield from under(f"language_model.model.layers.{layer}.", _gemma3_layer(text))
    yield from weights(("language_model.model.norm", hidden))
    yield "multi_modal_projector.mm_input_projection_weight", "BF16", (vision["hidden_size"], hidden)
    yield from weights(("multi_modal_projector.mm_soft_emb_norm", vision["hidden_size"]))
    yield from under("vision_tower.vision_model.", _siglip(vision))


def _gemma3_layer(text: Config) -> Iterator[Tensor]:
    hidden, size = text["hidden_size"], text["head_dim"]
    yield from under("self_attn.", attention(text))
    yield from weights(("self_attn.q_norm", size), ("self_attn.k_norm", size))
    yield from under("mlp.", gated(hidden, text["intermediate_size"]))
    yield from norms(text)
    yield from weights(("pre_feedforward_layernorm", hidden), ("post_feedforward_layernorm", hidden))


def _siglip(vision: Config) -> Iterator[Tensor]:
    hidden, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2
    yield "embeddings.patch_embedding.weight", "BF16", (hidden, 3, patch, patch)
    yield "embeddings.patch_embedding.bias", "BF16", (hidden,)
    yield from weights(("embeddings.position_embedding", places, hidden))
    for layer in range(vision["num_hidden_layers"]):
        prefix = f"encoder.layers.{layer}."
        square = [
            (f"self_attn.{name}", hidden, hidden) for name in ("k_proj", "v_proj", "q_proj", "out_proj")
        ]
        yield from under(prefix, biased(*square, ("mlp.fc1", inner, hidden), ("mlp.fc2", hidden, inner)))
        yield from under(prefix, _layer_norms(hidden, "layer_norm1", "layer_norm2"))
    yield from _layer_norms(hidden, "post_layernorm")


def _layer_norms(hidden: int, *names: str) -> Iterator[Tensor]:
    for name in names:
        yield f"{name}.weight", "BF16", (hidden,)
        yield f"{name}.bias", "BF16", (hidden,)


def llama4_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Llama 4: every second layer has experts in Maverick."""
    text, vision = config["text_config"], config["vision_config"]
    hidden = text["hidden_size"]
    yield from weights(("language_model.model.embed_tokens", text["vocab_size"], hidden))
    for layer in range(text["num_hidden_layers"]):
        step = text["interleave_moe_layer_step"]
        yield from under(
            f"language_model.model.layers.{layer}.", _llama4_layer(text, mixture=(layer + 1) % step == 0)
        )
    yield from weights(("language_model.model.norm", hidden))
    yield from weights(("language_model.lm_head", text["vocab_size"], hidden))
    yield from weights(("multi_modal_projector.linear_1", hidden, vision["vision_output_dim"]))
    yield from under("vision_model.", _llama4_vision(vision))


def _llama4_layer(text: Config, *, mixture: bool) -> Iterator[Tensor]:
    hidden, inner, count = text["hidden_size"], text["intermediate_size"], text["num_local_experts"]
    yield from under("self_attn.", attention(text))
    if mixture:
        yield "feed_forward.experts.gate_up_proj", "BF16", (count, hidden, 2 * inner)
        yield "feed_forward.experts.down_proj", "BF16", (count, inner, hidden)
        yield from weights(("feed_forward.router", count, hidden))
        yield from under("feed_forward.shared_expert.", gated(hidden, inner))
    else:
        yield from under("feed_forward.", gated(hidden, text["intermediate_size_mlp"]))
    yield from norms(text)


def _llama4_vision(vision: Config) -> Iterator[Tensor]:
    hidden, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2 + 1
    yield "class_embedding", "BF16", (hidden,)
    yield "positional_embedding_vlm", "BF16", (places, hidden)
    yield from weights(("patch_embedding.linear", hidden, vision["num_channels"] * patch * patch))
    for layer in range(vision["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        square = [(f"self_attn.{name}", hidden, hidden) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
        yield from under(prefix, biased(*square, ("mlp.fc1", inner, hidden), ("mlp.fc2", hidden, inner)))
        yield from under(prefix, _layer_norms(hidden, "input_layernorm", "post_attention_layernorm"))
    yield from _layer_norms(hidden, "layernorm_pre", "layernorm_post")
    ratio = vision["pixel_shuffle_ratio"]
    wide, output = vision["projector_input_dim"], vision["projector_output_dim"]
    yield from under(
        "vision_adapter.mlp.", weights(("fc1", wide, int(hidden / ratio**2)), ("fc2", output, wide))
    )
