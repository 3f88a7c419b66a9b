"""What each layer of a model is, read off the real model built on the meta device.

Not off its config: every number, text and switch that the modules of a layer
hold, and the shapes of their parameters, so that a layer given another kind
than its source layer shows, whatever the config says.
"""

import re
from typing import Any

import torch

_OF_THE_PLACE = re.compile(
    r"(^|_)(layer|block)_?(idx|id|index|number)$|_is_hf_initialized|^(training|seed|store_full_length_kv)$"
)
"""What a module holds because of where it stands, or only for training."""

_SIMPLE = (bool, int, float, str, type(None))


def layer_signatures(model: torch.nn.Module, stack: str) -> list[Any]:
    """Return one comparable value per layer of the module list `stack` (`model.layers`)."""
    return [_signature(layer) for layer in model.get_submodule(stack)]


def on_meta(auto_class: Any, config: Any) -> torch.nn.Module:
    """Return a model without weights."""
    with torch.device("meta"):
        model: torch.nn.Module = auto_class._from_config(config)
    return model


def _signature(layer: torch.nn.Module) -> Any:
    parts = []
    for name, module in layer.named_modules():
        held = tuple(
            (key, value)
            for key, value in sorted(vars(module).items())
            if isinstance(value, _SIMPLE) and not _OF_THE_PLACE.search(key)
        )
        shapes = tuple((key, tuple(p.shape)) for key, p in module.named_parameters(recurse=False))
        parts.append((name, type(module).__name__, held, shapes))
    return tuple(parts)
