"""What tells one layer's kind from another's: plain values of its modules, their classes and shapes."""

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Facts: TypeAlias = Mapping[str, Any]
"""Path of an attribute within a layer to its value."""

_IGNORED = frozenset(
    {
        *("training", "gradient_checkpointing"),
        *("drop_prob", "drop_path_rate", "layerdrop"),  # chosen by depth, for training alone
        *("layer_dic", "layer_block_map", "num_fwd_mem_blocks"),  # which layers share a block
        "has_relative_attention_bias",  # the first layer alone has it, for all
        "seed",  # of random attention, in training alone
        "store_full_length_kv",  # whether later layers read its cache; which ones do is theirs to say
    }
)
"""Attributes by which a layer in another place may differ and still answers the same."""

_STORED = frozenset({("MiniMaxLightningAttention", "num_hidden_layers")})
"""Class and attribute of numbers that only make a buffer which the checkpoint holds; planning asks for it."""

_OF_THE_PLACE = re.compile(r"_adapter_list\.\d|(^|\.)relative_attention_bias$|^pre_ln$")
"""Modules that belong to a place, not to a layer.

Adapters of a block that layers share (Zamba2), one for each of them; what the first layer alone
has for all (T5, RWKV).
"""

_DEPTH = 2
"""How far helper objects are followed."""


def layer_facts(layer: Any, shared: frozenset[int]) -> Facts:
    """Return everything plain that a layer's modules hold.

    Args:
        layer: a module.
        shared: ids of objects that belong to the whole model (its configs) and say nothing of a layer.
    """
    facts: dict[str, Any] = {}
    for name, module in layer.named_modules():
        if _OF_THE_PLACE.search(name):
            continue
        at = f"{name}." if name else ""
        facts[f"{at}class"] = type(module).__name__
        for kind in (module._parameters, module._buffers):  # noqa: SLF001  # named_parameters skips shared ones
            facts |= {f"{at}{key}": _shape(value) for key, value in kind.items()}
        for key, value in vars(module).items():
            if not (key.startswith("_") or key in _IGNORED or (type(module).__name__, key) in _STORED):
                facts |= dict(_plain(f"{at}{key}", value, shared, _DEPTH))
    return facts


def _plain(path: str, value: Any, shared: frozenset[int], depth: int) -> Iterator[tuple[str, Any]]:
    if _is_simple(value):
        yield path, value
    elif isinstance(value, list | tuple | set | frozenset):
        if all(map(_is_simple, value)):
            yield path, tuple(sorted(value, key=repr) if isinstance(value, set | frozenset) else value)
    elif hasattr(value, "shape"):
        yield path, _shape(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _plain(f"{path}[{key}]", inner, shared, depth)
    elif depth and id(value) not in shared:
        yield from _object(path, value, shared, depth - 1)


def _object(path: str, value: Any, shared: frozenset[int], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield a function's name, or what a helper object (a cut-out of the config, say) holds."""
    if hasattr(value, "__qualname__"):
        yield path, value.__qualname__
        return
    yield path, type(value).__name__
    for key, inner in getattr(value, "__dict__", {}).items():
        if not key.startswith("_"):
            yield from _plain(f"{path}.{key}", inner, shared, depth)


def _is_simple(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | enum.Enum)


def _shape(tensor: Any) -> Any:
    return None if tensor is None else f"shape {list(tensor.shape)}"
