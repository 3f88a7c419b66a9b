"""Published mixtures of experts with layers of two kinds: gpt-oss-120b, Qwen3-Next-80B-A3B."""

from collections.abc import Iterator

from tests.support.published_model import (
    Config,
    Tensor,
    attention,
    biased,
    experts,
    gated,
    head,
    norms,
    under,
    weights,
)


def gpt_oss_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of gpt-oss, experts in MXFP4: blocks of 32 values in 16 bytes, and their scales."""
    hidden, inner, count = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield from under(f"{prefix}self_attn.", attention(config, project=biased))
        yield f"{prefix}self_attn.sinks", "BF16", (config["num_attention_heads"],)
        yield from under(f"{prefix}mlp.", biased(("router", count, hidden)))
        for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            expert = f"{prefix}mlp.experts.{name}"
            yield f"{expert}_blocks", "U8", (count, rows, columns // 32, 16)
            yield f"{expert}_scales", "U8", (count, rows, columns // 32)
            yield f"{expert}_bias", "BF16", (count, rows)
        yield from under(prefix, norms(config))
    yield from head(config)


def qwen3_next_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Qwen3-Next, those for multi-token prediction included."""
    hidden = config["hidden_size"]
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    for layer in range(config["num_hidden_layers"]):
        full = (layer + 1) % config["full_attention_interval"] == 0
        yield from under(f"model.layers.{layer}.", _qwen_layer(config, full=full))
    yield from head(config)
    yield from weights(("mtp.fc", hidden, 2 * hidden), ("mtp.norm", hidden))
    yield from weights(("mtp.pre_fc_norm_embedding", hidden), ("mtp.pre_fc_norm_hidden", hidden))
    yield from under("mtp.layers.0.", _qwen_layer(config, full=True))


def _qwen_layer(config: Config, *, full: bool) -> Iterator[Tensor]:
    hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
    if full:
        yield from under("self_attn.", _gated_attention(config))
    else:
        yield from under("linear_attn.", _delta_net(config))
    yield from weights(("mlp.gate", config["num_experts"], hidden), ("mlp.shared_expert_gate", 1, hidden))
    yield from under("mlp.shared_expert.", gated(hidden, config["shared_expert_intermediate_size"]))
    yield from under("mlp.", experts(config["num_experts"], lambda: gated(hidden, inner)))
    yield from norms(config)


def _gated_attention(config: Config) -> Iterator[Tensor]:
    size = config["head_dim"]
    for name, dtype, (rows, columns) in attention(config):
        yield name, dtype, (2 * rows if name.startswith("q_proj") else rows, columns)
    yield from weights(("q_norm", size), ("k_norm", size))


def _delta_net(config: Config) -> Iterator[Tensor]:
    hidden, heads = config["hidden_size"], config["linear_num_value_heads"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = heads * config["linear_value_head_dim"]
    yield from (("A_log", "BF16", (heads,)), ("dt_bias", "BF16", (heads,)))
    yield "conv1d.weight", "BF16", (2 * keys + values, 1, config["linear_conv_kernel_dim"])
    yield from weights(
        ("in_proj_qkvz", 2 * keys + 2 * values, hidden),
        ("in_proj_ba", 2 * heads, hidden),
        ("norm", config["linear_value_head_dim"]),
        ("out_proj", hidden, values),
    )
