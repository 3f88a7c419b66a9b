"""A LoRA config as Python to paste.

PEFT replicates the layers of a model, but not what its config says of each of them: in classes with
`layer_types` (Qwen, Gemma and more) the replicated model fails at its first step, unless the lists are
replicated too. So the text does that.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from distexpand.formats.dtypes import DType

_SAID_ELSEWHERE = {"peft_type", "base_model_name_or_path", "revision", "inference_mode"}
_DEFAULTS = {
    "use_rslora": False,
    "lora_dropout": 0.0,
    "bias": "none",
    "fan_in_fan_out": False,
    "init_lora_weights": True,
    "task_type": None,
}


def lora_python(config: Mapping[str, Any], dtype: DType | None, lists: Sequence[str]) -> str:
    """Return Python that replicates a model's layers and puts LoRA on every copy.

    Args:
        config: the LoRA config.
        dtype: of the model; nothing for that of its files.
        lists: keys of the model's config that have an entry for each layer, if they are there.
    """
    causal = config["task_type"] == "CAUSAL_LM"
    loader = "AutoModelForCausalLM" if causal else "AutoModel"
    said = {
        key: value
        for key, value in config.items()
        if key not in _SAID_ELSEWHERE and (key not in _DEFAULTS or value != _DEFAULTS[key])
    }
    load = [_literal(config["base_model_name_or_path"])]
    load += [] if config["revision"] is None else [f"revision={_literal(config['revision'])}"]
    load += [f'dtype="{dtype.torch_name if dtype else "auto"}"']
    return "\n".join(
        [
            "from peft import LoraConfig, get_peft_model",
            f"from transformers import {loader}",
            "",
            f"model = {loader}.from_pretrained({', '.join(load)})",
            "config = LoraConfig(",
            *(f"    {key}={_literal(value)}," for key, value in said.items()),
            ")",
            "# PEFT replicates the layers, but not what the model's config says of each of them.",
            "layers = [layer for start, end in config.layer_replication for layer in range(start, end)]",
            f"for key in {_literal(lists)}:",
            "    entries = getattr(model.config, key, None)",
            "    if entries is not None:",
            "        setattr(model.config, key, [entries[layer] for layer in layers])",
            "model = get_peft_model(model, config)",
            "",
        ]
    )


def _literal(value: Any) -> str:
    """Return a value as Python, text in double quotes."""
    return json.dumps(value) if isinstance(value, str | list) else repr(value)
