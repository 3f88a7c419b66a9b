"""Adapters in PEFT's files, made without PEFT: random matrices for given modules."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def write_adapter(
    directory: Path, model: Path, suffixes: tuple[str, ...], *, rank: int = 2, seed: int = 0, **config: Any
) -> Path:
    """Write an adapter for modules of every layer of a llama-like model, replicated or not.

    Args:
        directory: to write to.
        model: whose config and shapes it fits; the adapter names it by its directory.
        suffixes: of the modules, such as `self_attn.q_proj`.
        rank: of all matrices.
        seed: of the random numbers.
        config: further keys of `adapter_config.json`.
    """
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(model),
        "r": rank,
        "lora_alpha": 4,
        "layer_replication": None,
        **config,
    }
    layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    ranges = settings["layer_replication"] or [[0, layers]]
    shapes = _shapes(model)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for index, layer in enumerate(layer for start, end in ranges for layer in range(start, end)):
        for suffix in suffixes:
            outputs, inputs = shapes[f"model.layers.{layer}.{suffix}.weight"]
            module = f"base_model.model.model.layers.{index}.{suffix}"
            tensors[f"{module}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator) * 0.1
            tensors[f"{module}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator) * 0.1
            if settings.get("use_dora"):
                tensors[f"{module}.lora_magnitude_vector"] = torch.rand(outputs, generator=generator) + 0.5
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    (directory / "adapter_config.json").write_text(json.dumps(settings, indent=2))
    return directory


def _shapes(model: Path) -> dict[str, list[int]]:
    found = {}
    for shard in model.glob("*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return found
