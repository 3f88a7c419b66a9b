"""Frozen dataclasses from JSON objects: every field of its declared type, none missing or unknown.

Plans, manifests and receipts are read back from disk and are input like any
other; a wrong type has to be found here and not where the value is first used.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

_SCALARS = (str, int, float, bool)


def record(kind: type[Record], entry: Any) -> Record:
    """Return a dataclass made of a JSON object; lists become tuples.

    Fields may be scalars, other dataclasses, tuples of one kind or of fixed kinds, and mappings
    with text as keys.

    Raises:
        TypeError: a field is missing, unknown or of another type.
    """
    if not isinstance(entry, dict):
        raise TypeError(f"{kind.__name__}: not an object")
    hints = get_type_hints(kind)
    return kind(**{key: _value(entry[key], hints.get(key)) for key in entry})


def _value(value: Any, hint: Any) -> Any:
    if hint in _SCALARS:
        if type(value) is not hint:
            raise TypeError(f"expected {hint.__name__}, found {value!r}")
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return record(hint, value)
    items = get_args(hint)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        if items[-1] is Ellipsis:
            return tuple(_value(item, items[0]) for item in value)
        if len(value) == len(items):
            return tuple(_value(item, inner) for item, inner in zip(value, items, strict=True))
    if get_origin(hint) is Mapping and isinstance(value, dict):
        return {key: _value(item, items[1]) for key, item in value.items()}
    raise TypeError(f"expected {hint}, found {value!r}")
