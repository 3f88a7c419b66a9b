"""Tiny real checkpoints of every architecture that transformers knows, from its own configs made small.

No list of models: a class's default config is shrunk by the names of its keys,
so that a new release's classes come along. Every parameter is random, norms
and biases too, and a checkpoint is saved by transformers itself.
"""

from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.support.architecture_sizes import COUNTS, SIZES, exceptions

Auto = Literal["causal", "image-text", "seq2seq", "encoder"]

_CLASS_NAMES: dict[Auto, Any] = {
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "image-text": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "seq2seq": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "encoder": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}

_TOWER_WORDS = ("vision", "audio", "patcher")
_TOWER_LAYERS = 2
_MOST_PARAMETERS = 30_000_000


def tiny_config(model_type: str, num_layers: int = 6, **changes: Any) -> Any:
    """Return a model type's config, shrunk; towers beside the language model get two layers."""
    return _shrunk(CONFIG_MAPPING[model_type], num_layers, changes)


def model_class(auto: Auto, model_type: str) -> Any:
    """Return the class that an auto class takes for a model type."""
    return getattr(transformers, _CLASS_NAMES[auto][model_type])


def tiny_model(
    model_type: str, *, num_layers: int = 6, seed: int = 0, auto: Auto = "causal", **changes: Any
) -> Any:
    """Return a tiny model in float32, every parameter and stored buffer with noise on its fresh value.

    Raises:
        Exception: whatever transformers raises for a class that can't be built like this.
    """
    found = model_class(auto, model_type)
    config = tiny_config(model_type, num_layers, **changes)
    if not isinstance(config, found.config_class):
        config = _shrunk(found.config_class, num_layers, changes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = found._from_config(config, dtype=torch.float32)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        if parameters > _MOST_PARAMETERS:
            raise ValueError(f"not tiny: {parameters:,} parameters; give its sizes in architecture_sizes.py")
        stored = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
        with torch.no_grad():
            for tensor in (*model.parameters(), *(b for b in model.buffers() if id(b) in stored)):
                if tensor.is_floating_point():
                    tensor.add_(torch.randn(tensor.shape, dtype=tensor.dtype) * 0.1)
    return model.eval()


def write_tiny(
    directory: Path,
    model_type: str,
    *,
    num_layers: int = 6,
    seed: int = 0,
    max_shard_size: int | str = "5GB",
    auto: Auto = "causal",
    **changes: Any,
) -> Path:
    """Save a tiny model and return `directory`; `changes` are values of its config."""
    model = tiny_model(model_type, num_layers=num_layers, seed=seed, auto=auto, **changes)
    model.save_pretrained(directory, max_shard_size=max_shard_size)
    return directory


def _shrunk(config_class: Any, num_layers: int, changes: dict[str, Any]) -> Any:
    default = config_class()
    nested = {key: getattr(default, key, None) for key in getattr(config_class, "sub_configs", None) or {}}
    given: dict[str, Any] = {
        key: _inner(key, inner, num_layers) for key, inner in nested.items() if inner is not None
    }
    for key, value in default.to_dict().items():
        if key in nested or value is None or isinstance(value, list | tuple | dict):
            continue
        if key in COUNTS and isinstance(value, int):
            given[key] = num_layers
        elif key in SIZES:
            given[key] = SIZES[key]
    return config_class(**(given | exceptions(config_class.model_type, num_layers) | changes))


def _inner(key: str, config: Any, num_layers: int) -> dict[str, Any]:
    layers = _TOWER_LAYERS if any(word in key for word in _TOWER_WORDS) else num_layers
    values: dict[str, Any] = _shrunk(type(config), layers, {}).to_dict()
    values.pop("transformers_version", None)
    return values
