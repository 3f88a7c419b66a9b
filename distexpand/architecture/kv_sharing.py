"""Layers that use the keys and values of an earlier layer (Gemma 3n, Gemma 4).

The last `num_kv_shared_layers` layers have none of their own: each uses those
of the last layer of its type before them. That stays right only where this
last layer is a copy of the one that it was.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def key_value_sources(level: Mapping[str, Any], num_layers: int) -> dict[str, int]:
    """Return the layer whose keys and values the sharing layers use, by layer type; empty where none share.

    Args:
        level: the level of the config that describes the stack.
        num_layers: its layer count.
    """
    shared = level.get("num_kv_shared_layers")
    if type(shared) is not int or not 0 < shared < num_layers:
        return {}
    kinds = _kinds(level, num_layers)
    own = num_layers - shared
    last = {kind: index for index, kind in enumerate(kinds[:own])}
    return {kind: last[kind] for kind in dict.fromkeys(kinds[own:]) if kind in last}


def _kinds(level: Mapping[str, Any], num_layers: int) -> Sequence[str]:
    kinds = level.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == num_layers:
        return [str(kind) for kind in kinds]
    return [""] * num_layers
