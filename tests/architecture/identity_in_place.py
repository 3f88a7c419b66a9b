"""Tiny real models whose layers are made identities where they stand, and what each layer then does.

No layer is added and no config changed, so that nothing but the facts about
the layers' tensors is put to the test.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from distexpand.architecture.config.remap import config_level
from distexpand.architecture.residual.identity import identity_values
from distexpand.architecture.stacks.stack import LayerStack, find_layer_stack
from distexpand.errors import ArchitectureError
from distexpand.formats.dtypes import DType
from tests.support.architectures import Auto, model_class, write_tiny

LAYERS = 6
TOKENS = torch.arange(3, 19)[None]

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "bert:cross": {"is_decoder": True, "add_cross_attention": True},
    "bloom:after": {"apply_residual_connection_post_layernorm": True},
    "doge:experts": {"is_moe": True, "num_experts": 16, "num_experts_per_tok": 2},
    "falcon:new": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "gemma4_text:experts": {
        "enable_moe_block": True,
        "moe_intermediate_size": 16,
        "num_experts": 4,
        "top_k_experts": 2,
    },
    "gpt2:cross": {"add_cross_attention": True},
    "hyperclovax:peri": {"use_post_norm": True},
    "llama:biased": {"attention_bias": True, "mlp_bias": True},
    "megatron-bert:cross": {"is_decoder": True, "add_cross_attention": True},
    "opt:after": {"do_layer_norm_before": False},
}
"""Model types built with other values of their configs."""

AUTOS: Mapping[str, Auto] = {
    "seq2seq/bart": "seq2seq",
    "seq2seq/t5": "seq2seq",
    "image-text/llava": "image-text",
    "image-text/mllama": "image-text",
}
"""Models that are loaded by another class than that for text."""

_DTYPES = {
    torch.float32: DType.F32,
    torch.int64: DType.I64,
    torch.int32: DType.I32,
    torch.bool: DType.BOOL,
    torch.bfloat16: DType.BF16,
}


class TinyModel:
    """A tiny checkpoint on disk: its tensors, config and stack."""

    def __init__(self, directory: Path, name: str) -> None:
        self.auto = AUTOS.get(name, "causal")
        changes = VARIANTS.get(name, {})
        self.model_type = name.partition(":")[0].rpartition("/")[2]
        self.directory = write_tiny(directory, self.model_type, num_layers=LAYERS, auto=self.auto, **changes)
        self.tensors: dict[str, torch.Tensor] = {}
        for shard in directory.glob("*.safetensors"):
            self.tensors |= load_file(shard)
        self.config: dict[str, Any] = json.loads((directory / "config.json").read_text())
        self.stack: LayerStack = find_layer_stack(self.tensors, self.config, origin=name)
        self.stack_config = config_level(self.config, self.stack)

    def layer(self, index: int) -> dict[str, torch.Tensor]:
        """Return a layer's tensors by suffix."""
        places = {name: self.stack.split(name) for name in self.tensors}
        return {place[1]: self.tensors[name] for name, place in places.items() if place and place[0] == index}

    def dtypes(self, index: int) -> dict[str, DType]:
        """Return the dtypes of a layer's tensors by suffix."""
        return {suffix: _DTYPES[tensor.dtype] for suffix, tensor in self.layer(index).items()}

    def make_identities(self) -> dict[int, str]:
        """Make every layer an identity on disk, and return why not for those that can't be."""
        refused: dict[int, str] = {}
        for index in range(self.stack.num_layers):
            try:
                values = identity_values(self.dtypes(index), self.stack_config, origin=f"layer {index}")
            except ArchitectureError as error:
                refused[index] = error.message
                continue
            layer = self.layer(index)
            for suffix, value in values.items():
                layer[suffix].fill_(value)
        for shard in self.directory.glob("*.safetensors*"):
            shard.unlink()
        save_file(self.tensors, self.directory / "model.safetensors", metadata={"format": "pt"})
        return refused

    def changes_made(self) -> dict[int, float]:
        """Return by how much each layer of the model on disk changes its input at most."""
        found = model_class(self.auto, self.model_type)
        model = found.from_pretrained(self.directory, dtype=torch.float32).eval()
        changes: dict[int, float] = {}

        def keep(index: int) -> Any:
            def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> None:
                given = args[0] if args else kwargs["hidden_states"]
                answer = (
                    answer[0]
                    if isinstance(answer, tuple | list)
                    else getattr(answer, "hidden_states", answer)
                )
                changes[index] = max((answer - given).abs().max().item(), changes.get(index, 0.0))

            return hook

        for path in (self.stack.prefix, *self.stack.companions):
            for index, layer in enumerate(_layers(model, path, self.stack.num_layers)):
                layer.register_forward_hook(keep(index), with_kwargs=True)
        more = {"decoder_input_ids": TOKENS} if self.auto == "seq2seq" else {}
        with torch.no_grad():
            model(input_ids=TOKENS, use_cache=False, **more)
        return changes


def _layers(model: Any, prefix: str, num_layers: int) -> list[Any]:
    """Return the layers whose tensors have the prefix on disk, which may differ from the module's path."""
    wanted = prefix.rstrip(".").split(".")
    found = [
        (path.split("."), module)
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == num_layers
    ]
    found = [(path, module) for path, module in found if path[-1] == wanted[-1]]
    if not found:
        return []
    return list(max(found, key=lambda entry: len(set(entry[0]) & set(wanted)))[1])


def build(directory: Path, name: str) -> TinyModel:
    """Build a model anew.

    Raises:
        Exception: whatever transformers raises for a class that can't be built.
    """
    shutil.rmtree(directory, ignore_errors=True)
    return TinyModel(directory, name)
