"""Published mixtures of experts that store layers beyond their count: DeepSeek-V3, Kimi-K2, GLM-4.5-Air.

The last is a layer for multi-token prediction (Kimi-K2 has DeepSeek-V3's class, but none).
Not known for sure: the dtype of `e_score_correction_bias` (taken for float32), and whether
GLM-4.5-Air's prediction layer stores its own embeddings and head as DeepSeek-V3's does (taken to).
"""

from collections.abc import Iterator

from tests.support.published_model import (
    Config,
    Tensor,
    attention,
    experts,
    fp8_weights,
    gated,
    head,
    norms,
    under,
    weights,
)


def deepseek_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of DeepSeek-V3's class in FP8, prediction layers included."""
    yield from weights(("model.embed_tokens", config["vocab_size"], config["hidden_size"]))
    count, predicting = config["num_hidden_layers"], config["num_nextn_predict_layers"]
    for layer in range(count + predicting):
        prefix = f"model.layers.{layer}."
        if layer >= count:
            yield from under(prefix, _prediction(config))
        yield from under(f"{prefix}self_attn.", _latent_attention(config))
        dense = layer < config["first_k_dense_replace"]
        yield from under(f"{prefix}mlp.", _deepseek_dense(config) if dense else _deepseek_mixture(config))
        yield from under(prefix, norms(config))
    yield from head(config)


def _latent_attention(config: Config) -> Iterator[Tensor]:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    rank, key_rank = config["q_lora_rank"], config["kv_lora_rank"]
    rotated, plain, value = config["qk_rope_head_dim"], config["qk_nope_head_dim"], config["v_head_dim"]
    yield from fp8_weights(
        ("q_a_proj", rank, hidden),
        ("q_b_proj", heads * (plain + rotated), rank),
        ("kv_a_proj_with_mqa", key_rank + rotated, hidden),
        ("kv_b_proj", heads * (plain + value), key_rank),
        ("o_proj", hidden, heads * value),
    )
    yield from weights(("q_a_layernorm", rank), ("kv_a_layernorm", key_rank))


def _deepseek_dense(config: Config) -> Iterator[Tensor]:
    return gated(config["hidden_size"], config["intermediate_size"], project=fp8_weights)


def _deepseek_mixture(config: Config) -> Iterator[Tensor]:
    hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
    yield from _router(config)
    yield from under("shared_experts.", gated(hidden, inner, project=fp8_weights))
    yield from experts(config["n_routed_experts"], lambda: gated(hidden, inner, project=fp8_weights))


def _router(config: Config) -> Iterator[Tensor]:
    yield from weights(("gate", config["n_routed_experts"], config["hidden_size"]))
    yield "gate.e_score_correction_bias", "F32", (config["n_routed_experts"],)


def _prediction(config: Config) -> Iterator[Tensor]:
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    yield from weights(
        ("embed_tokens", vocab, hidden),
        ("enorm", hidden),
        ("hnorm", hidden),
        ("eh_proj", hidden, 2 * hidden),
        ("shared_head.norm", hidden),
        ("shared_head.head", vocab, hidden),
    )


def glm_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of GLM-4.5's class, prediction layers included."""
    hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    count, predicting = config["num_hidden_layers"], config["num_nextn_predict_layers"]
    for layer in range(count + predicting):
        prefix = f"model.layers.{layer}."
        if layer >= count:
            yield from under(prefix, _prediction(config))
        yield from under(f"{prefix}self_attn.", _glm_attention(config))
        if layer < config["first_k_dense_replace"]:
            yield from under(f"{prefix}mlp.", gated(hidden, config["intermediate_size"]))
        else:
            yield from under(f"{prefix}mlp.", _router(config))
            yield from under(f"{prefix}mlp.shared_experts.", gated(hidden, inner))
            yield from under(
                f"{prefix}mlp.", experts(config["n_routed_experts"], lambda: gated(hidden, inner))
            )
        yield from under(prefix, norms(config))
    yield from head(config)


def _glm_attention(config: Config) -> Iterator[Tensor]:
    for name, dtype, shape in attention(config):
        yield name, dtype, shape
        if not name.startswith("o_proj"):
            yield name.replace("weight", "bias"), dtype, shape[:1]
