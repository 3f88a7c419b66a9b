"""Tiny real models of many families, every value random, saved as transformers stores them."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import transformers

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GPT: dict[str, Any] = {"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "vocab_size": 64}
_GPT |= {"bos_token_id": 1, "eos_token_id": 2}
_HEAD = {**_SIZES, "head_dim": 8}
_EXPERTS = {
    **_HEAD,
    "decoder_sparse_step": 1,
    "moe_intermediate_size": 16,
    "num_experts": 3,  # as many as layers
    "num_experts_per_tok": 2,
    "num_local_experts": 3,
    "shared_expert_intermediate_size": 16,
}
_LATENT = {
    **_SIZES,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 8,
    "num_key_value_heads": 4,
    "n_group": 1,
    "topk_group": 1,
    "n_routed_experts": 3,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _SIZES,
    "mistral": _SIZES,
    "qwen2": _SIZES,
    "qwen3": _HEAD,
    "gemma": _HEAD,
    "gemma2": _HEAD,
    "gemma3_text": _HEAD,
    "gpt2": _GPT,
    "gpt_neox": _SIZES,
    "gptj": {**_GPT, "rotary_dim": 4},
    "gpt_neo": {
        **_SIZES,
        "num_layers": 3,
        "num_heads": 4,
        "attention_types": [[["global", "local", "global"], 1]],
    },
    "phi": _SIZES,
    "phi3": _SIZES,
    "phimoe": _EXPERTS,
    "opt": {**_SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "mixtral": _EXPERTS,
    "qwen2_moe": _EXPERTS,
    "qwen3_moe": _EXPERTS,
    "deepseek_v3": {**_LATENT, "first_k_dense_replace": 0},
    "gpt_oss": _EXPERTS,
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 48},
    "granitemoe": _EXPERTS,
    "hunyuan_v1_moe": _EXPERTS,
    "falcon": _SIZES,
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": 64},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64, "vocab_size": 64},
    "stablelm": _SIZES,
    "cohere": _SIZES,
    "cohere2": _HEAD,
    "olmo2": _SIZES,
    "olmo3": _SIZES,
    "glm4": _HEAD,
    "starcoder2": _SIZES,
    "granite": _SIZES,
    "nemotron": _HEAD,
    "smollm3": _SIZES,
    "recurrent_gemma": _HEAD,
    "falcon_h1": {**_HEAD, "mamba_n_heads": 8, "mamba_d_ssm": 64, "mamba_d_head": 8, "mamba_d_state": 8},
    "lfm2": _SIZES,
    "mamba": _SIZES,
}
"""Model type to config values; three layers each."""


def save_tiny(directory: Path, model_type: str, **changes: Any) -> Path:
    """Save a tiny model with values around those of a fresh one, so that none is zero or one throughout."""
    config = transformers.AutoConfig.for_model(model_type, **{**FAMILIES.get(model_type, _SIZES), **changes})
    model = transformers.AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(directory)
    return directory


def logits(directory: Path) -> torch.Tensor:
    """Answer of the model to some tokens; it has to load with no key missing, unexpected or mismatched."""
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert not any(loading.values()), loading
    tokens = torch.arange(3, 15)[None]
    for parameter in model.parameters():
        # Where a weight lies in its mapped file decides how its memory is aligned, and that which of
        # several kernels multiplies by it: the last bits may differ.
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        answer: torch.Tensor = model.eval()(input_ids=tokens, use_cache=False).logits
    assert math.isfinite(answer.abs().sum())
    return answer


def read_config(directory: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return document
