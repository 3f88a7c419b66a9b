"""Published hybrids of attention and state-space or convolution layers.

Jamba 1.5 Mini, Nemotron-H-8B, Falcon-H1-0.5B, Zamba2-2.7B, LFM2-1.2B, Granite 4.0 H Small.
Not known for sure: the dtype of `A_log`, `D` and `dt_bias` (taken for bfloat16); that Zamba2's
shared blocks are stored only with the first layer that has each (which is what saving tied
tensors to safetensors leaves); and that its attention has no adapters.
"""

from collections.abc import Iterator

from tests.support.published_model import (
    Config,
    Tensor,
    attention,
    experts,
    gated,
    mamba2,
    norms,
    under,
    weights,
)


def jamba_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Jamba: attention and experts each at their period and offset."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    yield from weights(("model.embed_tokens", vocab, hidden))
    for layer in range(config["num_hidden_layers"]):
        yield from under(f"model.layers.{layer}.", _jamba_layer(config, layer))
    yield from weights(("model.final_layernorm", hidden), ("lm_head", vocab, hidden))


def _jamba_layer(config: Config, layer: int) -> Iterator[Tensor]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    if layer % config["attn_layer_period"] == config["attn_layer_offset"]:
        yield from under("self_attn.", attention(config))
    else:
        yield from under("mamba.", _mamba(config))
    if layer % config["expert_layer_period"] == config["expert_layer_offset"]:
        yield from weights(("feed_forward.router", config["num_experts"], hidden))
        yield from under("feed_forward.", experts(config["num_experts"], lambda: gated(hidden, inner)))
    else:
        yield from under("feed_forward.", gated(hidden, inner))
    yield from weights(("input_layernorm", hidden), ("pre_ff_layernorm", hidden))


def _mamba(config: Config) -> Iterator[Tensor]:
    hidden, state, rank = config["hidden_size"], config["mamba_d_state"], config["mamba_dt_rank"]
    inner = config["mamba_expand"] * hidden
    yield from (("A_log", "BF16", (inner, state)), ("D", "BF16", (inner,)))
    yield "conv1d.weight", "BF16", (inner, 1, config["mamba_d_conv"])
    yield from (("conv1d.bias", "BF16", (inner,)), ("dt_proj.bias", "BF16", (inner,)))
    yield from weights(
        ("dt_proj", inner, rank),
        ("in_proj", 2 * inner, hidden),
        ("x_proj", rank + 2 * state, inner),
        ("out_proj", hidden, inner),
        ("dt_layernorm", rank),
        ("b_layernorm", state),
        ("c_layernorm", state),
    )


def nemotron_h_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Nemotron-H, whose layers are one part each: mixer, attention or MLP."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    inner = config["intermediate_size"]
    heads, size = config["mamba_num_heads"], config["mamba_head_dim"]
    yield from weights(("backbone.embeddings", vocab, hidden))
    for layer, kind in enumerate(config["hybrid_override_pattern"]):
        parts = {
            "M": lambda: mamba2(
                hidden,
                inner=heads * size,
                heads=heads,
                groups=config["n_groups"],
                state=config["ssm_state_size"],
                kernel=config["conv_kernel"],
                norm=True,
            ),
            "*": lambda: attention({**config, "head_dim": config["attention_head_dim"]}),
            "-": lambda: weights(("up_proj", inner, hidden), ("down_proj", hidden, inner)),
        }
        yield from under(f"backbone.layers.{layer}.mixer.", parts[kind]())
        yield from weights((f"backbone.layers.{layer}.norm", hidden))
    yield from weights(("backbone.norm_f", hidden), ("lm_head", vocab, hidden))


def falcon_h1_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Falcon-H1: attention and mixer side by side in every layer."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    yield from weights(("model.embed_tokens", vocab, hidden))
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield from under(f"{prefix}self_attn.", attention(config))
        yield from under(
            f"{prefix}mamba.",
            mamba2(
                hidden,
                inner=config["mamba_d_ssm"],
                heads=config["mamba_n_heads"],
                groups=config["mamba_n_groups"],
                state=config["mamba_d_state"],
                kernel=config["mamba_d_conv"],
                norm=config["mamba_rms_norm"],
            ),
        )
        yield from under(f"{prefix}feed_forward.", gated(hidden, config["intermediate_size"]))
        yield from under(prefix, weights(("input_layernorm", hidden), ("pre_ff_layernorm", hidden)))
    yield from weights(("model.final_layernorm", hidden), ("lm_head", vocab, hidden))


def zamba2_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Zamba2: a mixer in every layer, shared blocks stored where they are first used.

    A shared block has an adapter for each of its places, numbered by hybrid layer.
    """
    hidden = config["hidden_size"]
    hybrids = config["hybrid_layer_ids"]
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        if layer in hybrids:
            yield from weights((f"{prefix}linear", hidden, hidden))
            block = hybrids.index(layer)
            if block < config["num_mem_blocks"]:
                yield from under(f"{prefix}shared_transformer.", _shared_block(config, block))
            prefix = f"{prefix}mamba_decoder."
        yield from under(f"{prefix}mamba.", _zamba2_mixer(config))
        yield from weights((f"{prefix}input_layernorm", hidden))
    yield from weights(("model.final_layernorm", hidden))


def _zamba2_mixer(config: Config) -> Iterator[Tensor]:
    return mamba2(
        config["hidden_size"],
        inner=config["mamba_expand"] * config["hidden_size"],
        heads=config["n_mamba_heads"],
        groups=config["mamba_ngroups"],
        state=config["mamba_d_state"],
        kernel=config["mamba_d_conv"],
        norm=True,
    )


def _shared_block(config: Config, block: int) -> Iterator[Tensor]:
    hidden, inner, rank = config["hidden_size"], config["intermediate_size"], config["adapter_rank"]
    wide = config["attention_hidden_size"]
    yield from under(
        "self_attn.",
        weights(
            ("q_proj", wide, wide), ("k_proj", wide, wide), ("v_proj", wide, wide), ("o_proj", hidden, wide)
        ),
    )
    yield from weights(
        ("feed_forward.gate_up_proj", 2 * inner, hidden), ("feed_forward.down_proj", hidden, inner)
    )
    for place in range(block, len(config["hybrid_layer_ids"]), config["num_mem_blocks"]):
        adapter = f"feed_forward.gate_up_proj_adapter_list.{place}"
        yield from weights((f"{adapter}.0", rank, hidden), (f"{adapter}.1", 2 * inner, rank))
    yield from weights(("input_layernorm", wide), ("pre_ff_layernorm", hidden))


def lfm2_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of LFM2; the head is the embeddings."""
    hidden = config["hidden_size"]
    whole, multiple = 2 * config["block_ff_dim"] // 3, config["block_multiple_of"]
    inner = -(-whole // multiple) * multiple
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        full = layer in config["full_attn_idxs"]
        yield from under(prefix, _lfm2_attention(config) if full else _short_convolution(config))
        yield from under(
            f"{prefix}feed_forward.",
            weights(("w1", inner, hidden), ("w2", hidden, inner), ("w3", inner, hidden)),
        )
        yield from under(prefix, weights(("operator_norm", hidden), ("ffn_norm", hidden)))
    yield from weights(("model.embedding_norm", hidden))


def _lfm2_attention(config: Config) -> Iterator[Tensor]:
    size = config["hidden_size"] // config["num_attention_heads"]
    for name, dtype, shape in attention(config):
        yield f"self_attn.{name.replace('o_proj', 'out_proj')}", dtype, shape
    yield from weights(("self_attn.q_layernorm", size), ("self_attn.k_layernorm", size))


def _short_convolution(config: Config) -> Iterator[Tensor]:
    hidden = config["hidden_size"]
    yield "conv.conv.weight", "BF16", (hidden, 1, config["conv_L_cache"])
    yield from weights(("conv.in_proj", 3 * hidden, hidden), ("conv.out_proj", hidden, hidden))


def granite_tensors(config: Config) -> Iterator[Tensor]:
    """Yield the tensors of Granite 4.0 H; the head is the embeddings."""
    hidden, heads = config["hidden_size"], config["mamba_n_heads"]
    count, inner, shared = (
        config[key] for key in ("num_local_experts", "intermediate_size", "shared_intermediate_size")
    )
    yield from weights(("model.embed_tokens", config["vocab_size"], hidden))
    for layer, kind in enumerate(config["layer_types"]):
        prefix = f"model.layers.{layer}."
        if kind == "attention":
            yield from under(f"{prefix}self_attn.", attention(config))
        else:
            mixer = mamba2(
                hidden,
                inner=config["mamba_expand"] * hidden,
                heads=heads,
                groups=config["mamba_n_groups"],
                state=config["mamba_d_state"],
                kernel=config["mamba_d_conv"],
                norm=True,
            )
            yield from under(f"{prefix}mamba.", mixer)
        yield f"{prefix}block_sparse_moe.input_linear.weight", "BF16", (count, 2 * inner, hidden)
        yield f"{prefix}block_sparse_moe.output_linear.weight", "BF16", (count, hidden, inner)
        yield from under(
            prefix,
            weights(
                ("block_sparse_moe.router.layer", count, hidden),
                ("shared_mlp.input_linear", 2 * shared, hidden),
                ("shared_mlp.output_linear", hidden, shared),
            ),
        )
        yield from under(prefix, norms(config))
    yield from weights(("model.norm", hidden))
