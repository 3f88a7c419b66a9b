"""A thread's memory for intermediate values: allocated once, so that a step costs its arithmetic alone."""

from typing import Any

from distexpand.engine.torch_library import require_torch


class Scratch:
    """One thread's tensors by name, kept from step to step; what one holds when it is taken is undefined."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, Any], Any] = {}

    def take(self, name: str, dtype: Any, count: int) -> Any:
        """Return the tensor of this name, with `count` elements of torch's `dtype`."""
        held = self._held.get((name, dtype))
        if held is None or len(held) < count:
            held = self._held[name, dtype] = require_torch().empty(count, dtype=dtype)
        return held[:count]
