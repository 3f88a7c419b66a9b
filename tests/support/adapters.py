"""Adapters that PEFT itself trained for a few steps, and what they make of a model, computed directly."""

import json
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors.torch import load_file

from distexpand.formats.dtypes import DType
from tests.engine.matrices import in_dtype, torch_name

STEPS = 3
PROMPT = torch.arange(1, 33)[None]


def train_adapter(
    model: Path, adapter: Path, *, prompt: torch.Tensor = PROMPT, **settings: Any
) -> torch.Tensor:
    """Train a LoRA adapter on a few tokens, save it, and return the logits of PEFT's model with it.

    In float32. The matrices begin at random, so that every one of them counts.
    """
    torch.manual_seed(0)
    config = peft.LoraConfig(**{"init_lora_weights": False, "task_type": "CAUSAL_LM", **settings})
    with quiet():
        base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        replicate_lists(base.config, config.layer_replication)
        trained = peft.get_peft_model(base, config)
        train(trained, prompt)
        trained.save_pretrained(adapter)
    return logits_with(model, adapter, prompt=prompt)


def train(trained: Any, prompt: torch.Tensor) -> None:
    """Train what can be trained for a few steps."""
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3)
    trained.train()
    for _ in range(STEPS):
        trained(input_ids=prompt, labels=prompt).loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def logits_with(model: Path, adapter: Path, *, prompt: torch.Tensor = PROMPT) -> torch.Tensor:
    """Return the logits of PEFT's own model with an adapter, as loaded from its files, in float32."""
    with quiet(), torch.no_grad():
        base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        replicate_lists(base.config, peft.LoraConfig.from_pretrained(adapter).layer_replication)
        loaded = peft.PeftModel.from_pretrained(base, adapter).eval()
        found: torch.Tensor = loaded(input_ids=prompt).logits
    return found


def logits_of(model: Path, *, prompt: torch.Tensor = PROMPT) -> torch.Tensor:
    """Return a model's logits in float32."""
    with torch.no_grad():
        loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        found: torch.Tensor = loaded(input_ids=prompt).logits
    return found


def replicate_lists(config: Any, ranges: list[list[int]] | None) -> None:
    """Give a config `layer_types` of the replicated model, which PEFT leaves as they are."""
    types = getattr(config, "layer_types", None)
    if ranges and types:
        config.layer_types = [types[layer] for start, end in ranges for layer in range(start, end)]


@contextmanager
def quiet() -> Iterator[None]:
    """Let PEFT warn, which it does of much that is meant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def merged_tensors(model: Path, adapter: Path, dtype: DType) -> dict[str, torch.Tensor]:
    """Return what the merged model's tensors have to be, from the files alone.

    Computed in float64 in order of rank, as plainly as can be, and rounded to `dtype` once. What PEFT's
    names and config mean is written here anew.
    """
    config = json.loads((adapter / "adapter_config.json").read_text())
    deltas = load_file(adapter / "adapter_model.safetensors")
    base = load_file(model / "model.safetensors")
    replication = config["layer_replication"]
    if replication:
        base = _replicated(base, [layer for start, end in replication for layer in range(start, end)])
    made = {name: tensor.double() for name, tensor in base.items()}
    for name, tensor in deltas.items():
        path = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        if ".lora_" not in path:
            made[path] = tensor.double()
    for name in deltas:
        module, _, kind = name.removeprefix("base_model.model.").partition(".lora_")
        if kind in {"A.weight", "embedding_A"}:
            a, b = deltas[name].double(), deltas[name.replace("_A", "_B")].double()
            delta = sum(torch.outer(b[:, k], a[k]) for k in range(len(a))) * _scaling(config, module)
            weight = made[f"{module}.weight"]
            transposed = kind == "embedding_A" or (config["fan_in_fan_out"] and module != "lm_head")
            weight += delta.T if transposed else delta
        elif kind == "B.bias":
            made[f"{module}.bias"] += deltas[name].double() * _scaling(config, module)
    for name in deltas:
        module, _, kind = name.removeprefix("base_model.model.").partition(".lora_")
        if kind == "magnitude_vector":
            rows = made[f"{module}.weight"]
            squares = torch.zeros(len(rows), dtype=torch.float64)
            for column in rows.T:
                squares += column * column
            lengths = torch.tensor([math.sqrt(square) for square in squares.tolist()], dtype=torch.float64)
            made[f"{module}.weight"] = rows * (deltas[name].double() / lengths)[:, None]
    return {
        name: torch.frombuffer(bytearray(in_dtype(tensor.numpy(), dtype)), dtype=torch_name(dtype)).view(
            tensor.shape
        )
        for name, tensor in made.items()
    }


def _replicated(base: dict[str, torch.Tensor], layers: list[int]) -> dict[str, torch.Tensor]:
    found = {}
    for name, tensor in base.items():
        layer = re.fullmatch(r"(.*\.layers\.)(\d+)(\..*)", name)
        if layer is None:
            found[name] = tensor
            continue
        for index, origin in enumerate(layers):
            if origin == int(layer[2]):
                found[f"{layer[1]}{index}{layer[3]}"] = tensor
    return found


def _scaling(config: dict[str, Any], module: str) -> float:
    rank, alpha = (
        next(
            (value for key, value in config[pattern].items() if re.match(rf"(.*\.)?({key})$", module)), usual
        )
        for pattern, usual in (("rank_pattern", config["r"]), ("alpha_pattern", config["lora_alpha"]))
    )
    scaling: float = alpha / (math.sqrt(rank) if config["use_rslora"] else rank)
    return scaling
