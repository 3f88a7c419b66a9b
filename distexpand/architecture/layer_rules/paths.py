"""Keys of a config that lie in nested tables, written with dots: `linear_attn_config.kda_layers`."""

from collections.abc import Mapping
from typing import Any


def look_up(level: Mapping[str, Any], path: str) -> Any:
    """Return what lies at a path, or nothing."""
    value: Any = level
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def put(level: dict[str, Any], path: str, value: Any) -> None:
    """Set what lies at a path, making tables on the way."""
    *outer, last = path.split(".")
    for key in outer:
        level = level.setdefault(key, {})
    level[last] = value
