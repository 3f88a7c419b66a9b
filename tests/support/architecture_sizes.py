"""What makes an architecture tiny: sizes by the names that configs use, and exceptions by model type."""

from typing import Any

_WIDTHS: dict[int, str] = {
    1: """
        mamba_n_groups mamba_ngroups n_group n_groups n_shared_experts num_expert_group
        num_shared_experts topk_group
    """,
    2: """
        index_n_heads linear_num_key_heads moe_k moe_top_k moe_topk n_mamba_heads num_experts_per_tok
        num_experts_per_token num_global_key_value_heads num_key_value_heads num_kv_heads
        swa_num_key_value_heads top_k top_k_experts type_vocab_size zero_expert_num
    """,
    4: """
        adapter_rank attention_heads conv_kernel decoder_attention_heads encoder_attention_heads
        ffn_num_experts hc_lowrank index_topk linear_conv_kernel_dim linear_num_heads
        linear_num_value_heads mamba_d_conv mamba_dt_rank mamba_n_heads mamba_num_heads moe_num_experts
        n_head n_heads n_routed_experts num_attention_heads num_decoder_attention_heads
        num_encoder_attention_heads num_experts num_heads num_local_experts patch_size rotary_dim
        swa_num_attention_heads time_step_rank
    """,
    8: """
        attention_chunk_size attention_head_dim attention_head_size attention_value_head_dim
        attention_window_size chunk_size d_head d_kv dim_head global_head_dim head_dim
        hidden_size_per_layer_input index_head_dim kv_lora_rank laurel_rank linear_head_dim
        linear_key_head_dim linear_value_head_dim local_attention mamba_chunk_size mamba_d_state
        o_lora_rank q_lora_rank qk_nope_head_dim qk_rope_head_dim query_pre_attn_scalar sliding_window
        sliding_window_size ssm_state_size state_size swa_head_dim swa_v_head_dim v_head_dim window_size
    """,
    16: """
        expert_ffn_hidden_size expert_hidden_size image_size mamba_d_head mamba_head_dim mamba_headdim
        moe_intermediate_size moe_latent_size moe_shared_expert_intermediate_size
        shared_expert_intermediate_size shared_experts_intermediate_size shared_intermediate_size
    """,
    32: """
        attention_hidden_size backbone_hidden_size conv_dim d_model decoder_hidden_size dim
        dim_model_base emb_dim embed_dim embedding_dim embedding_size hidden_dim hidden_size
        hidden_size_global lru_width mamba_d_ssm model_dim n_embd out_hidden_size ple_embed_dim
        projection_dim router_hidden_size word_embed_proj_dim
    """,
    48: """
        block_ff_dim d_ff d_inner decoder_ffn_dim dff dim_ff encoder_ffn_dim feed_forward_size ffn_dim
        ffn_hidden_size intermediate_dim intermediate_size intermediate_size_mlp n_inner
    """,
    64: """
        context_length decoder_vocab_size encoder_hash_byte_group_vocab entity_vocab_size
        max_position_embeddings max_seq_len max_source_positions max_target_positions n_ctx n_positions
        ngram_vocab_size_base unpadded_vocab_size vocab_size vocab_size_per_layer_input
    """,
}
"""Size to the names of config keys that get it."""

SIZES: dict[str, int] = {key: size for size, keys in _WIDTHS.items() for key in keys.split()}
SIZES |= {"bos_token_id": 1, "conv_L_cache": 3, "eos_token_id": 2, "num_channels": 3, "pad_token_id": 0}
SIZES |= {"qk_head_dim": 16}

COUNTS = frozenset(
    {
        *("decoder_layers", "depth", "encoder_layers", "n_layer", "n_layers", "num_blocks"),
        *("num_decoder_layers", "num_encoder_layers", "num_hidden_layers", "num_layers"),
    }
)

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_LATENT = {"num_key_value_heads": 4}
_DECODER = {"is_decoder": True}
_WIDE = {"attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4}
_MIXED = "full_attention", "sliding_attention"


def exceptions(model_type: str, num_layers: int) -> dict[str, Any]:
    """Return what a model type needs beside the sizes: to be built at all, or for layers of several kinds."""
    return _FIXED.get(model_type, {}) | _by_depth(model_type, num_layers)


def _by_depth(model_type: str, num_layers: int) -> dict[str, Any]:
    kinds = _KINDS.get(model_type)
    if kinds is None:
        return {}
    key, cycle = kinds
    return {key: [cycle[index % len(cycle)] for index in range(num_layers)]}


_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cohere_compass_text": ("layer_types", _MIXED),
    "dots3_note_text": ("layer_types", ("indexed_attention", "sliding_attention")),
    "gemma3n_text": ("layer_types", ("sliding_attention", "full_attention")),
    "gemma4_text": ("layer_types", ("sliding_attention", "full_attention")),
    "gemma4_unified_text": ("layer_types", ("sliding_attention", "full_attention")),
    "granitemoehybrid": ("layer_types", ("linear_attention", "full_attention")),
    "lfm2_moe": ("layer_types", ("conv", "conv", "full_attention")),
    "reformer": ("attn_layers", ("local", "lsh")),
    "nemotron_h": ("layers_block_type", ("linear_attention", "moe", "full_attention", "mlp")),
    "zamba": ("layers_block_type", ("linear_attention", "hybrid")),
    "zamba2": ("layers_block_type", ("linear_attention", "linear_attention", "hybrid")),
}
"""Model types whose default kinds don't fit few layers: the key, and the kinds that recur."""

_FIXED: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "bailing_hybrid": {**_LATENT, "layer_group_size": 3},
    "bamba": {"attn_layer_indices": [1, 4]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {**_LATENT, "first_k_dense_replace": 2, "num_experts_per_tok": 2},
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "dory": {"n_input_layers": 2, "n_output_layers": 2},
    "dots1": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 2,
    },
    "dots3_note_text": {**_LATENT, "head_dim": 16, "per_layer_config": None},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8},
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 3]]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "kimi_linear": _LATENT,
    "lfm2_moe": {"num_dense_layers": 2},
    "longcat_flash": _LATENT,
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "minicpm3": _LATENT,
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 4,
        "indexer_compress_ratio": 2,
        "ple_layer_ids": [3, 6],
        "hc_lowrank": 4,
        "hc_count": 2,
        "ngram_size": 2,
        "heads_per_ngram": 2,
        "make_ngram_vocab_size_divisible_by": 8,
        "split_ngram_parts": 2,
        "eos_token_id": 2,
    },
    "glm4v_text": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "qwen2_5_vl_text": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "qwen2_vl_text": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "reformer": {**_DECODER, "axial_pos_embds": False},
    "rwkv": {"rescale_every": 0},  # else it halves weights and hidden states by depth, to the same effect
    "xmod": {**_DECODER, "default_language": "en_XX"},
    "youtu": _LATENT,
    "zamba": {"attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4},
    "zamba2": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
        "n_mamba_heads": 4,
    },
    "zaya": {"num_experts_per_tok": 1},
}
