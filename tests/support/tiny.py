"""Tiny real checkpoints of many families, with every value random, saved by transformers itself.

Norms and biases are random too: a freshly initialised model has ones and
zeros there, and would hide a tensor that went to the wrong layer.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from tests.support.sparse import write_tokenizer

_HIDDEN = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "vocab_size": 160,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED = {**_HIDDEN, "num_key_value_heads": 2}
_SLIDING = {"head_dim": 16, "sliding_window": 8}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _GROUPED),
    "llama-tied": ("llama", {**_GROUPED, "tie_word_embeddings": True}),
    "mistral": ("mistral", {**_GROUPED, "sliding_window": 8}),
    "mistral-tied": ("mistral", {**_GROUPED, "sliding_window": 8, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {**_GROUPED, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}),
    "qwen3": ("qwen3", {**_GROUPED, "head_dim": 16}),
    "gemma2": ("gemma2", {**_GROUPED, **_SLIDING, "query_pre_attn_scalar": 16}),
    "gemma3": ("gemma3_text", {**_GROUPED, **_SLIDING, "query_pre_attn_scalar": 16}),
    "gpt2": (
        "gpt2",
        {
            "n_embd": 64,
            "n_head": 4,
            "n_positions": 128,
            "vocab_size": 160,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "gpt-neox": ("gpt_neox", _HIDDEN),
    "phi3": ("phi3", _GROUPED),
    "mixtral": ("mixtral", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
}
"""Name of a kind to its model type and config values."""


def tiny_checkpoint(
    directory: Path,
    kind: str,
    *,
    num_layers: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    max_shard_size: int | str = "5GB",
) -> Path:
    """Save a tiny model with random weights and a tokenizer, and return `directory`."""
    model = transformers.AutoModelForCausalLM.from_config(_config(kind, num_layers))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if _is_norm_weight(name) else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + centre)
    model.to(dtype).save_pretrained(directory, max_shard_size=max_shard_size)
    write_tokenizer(directory)
    return directory


def to_bin(checkpoint: Path, directory: Path, *, legacy: bool = False) -> Path:
    """Save a safetensors checkpoint again as `.bin` shards of pickled tensors.

    Args:
        checkpoint: read from.
        directory: written to; made if missing.
        legacy: the format of before torch 1.6, which isn't a zip archive.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weight_map: dict[str, str] = {}
    total = 0
    for shard in sorted(checkpoint.glob("*.safetensors")):
        tensors = load_file(shard)
        name = f"pytorch_{shard.stem}.bin"
        torch.save(tensors, directory / name, _use_new_zipfile_serialization=not legacy)
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if len(set(weight_map.values())) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (directory / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
    for path in checkpoint.iterdir():
        if path.is_file() and "safetensors" not in path.name:
            (directory / path.name).write_bytes(path.read_bytes())
    return directory


def plant_malicious_pickle(shard: Path, marker: Path, *, legacy: bool = False) -> None:
    """Add to a `.bin` shard an object whose unpickling would make the directory `marker`."""
    tensors: dict[str, Any] = torch.load(shard, weights_only=True)
    torch.save({**tensors, "payload": _Payload(marker)}, shard, _use_new_zipfile_serialization=not legacy)


class _Payload:
    """Something that runs code as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self._marker,)


def _config(kind: str, num_layers: int) -> Any:
    model_type, values = KINDS[kind]
    layers: dict[str, Any] = {"n_layer" if model_type == "gpt2" else "num_hidden_layers": num_layers}
    if model_type == "gemma3_text":
        types = ["full_attention" if index % 3 == 2 else "sliding_attention" for index in range(num_layers)]
        layers["layer_types"] = types
    return transformers.AutoConfig.for_model(model_type, **values, **layers)


def _is_norm_weight(name: str) -> bool:
    module, _, leaf = name.rpartition(".")
    last = module.rsplit(".", 1)[-1]
    return leaf == "weight" and ("norm" in last or last.startswith("ln_"))
