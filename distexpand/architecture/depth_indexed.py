"""Tensors outside the stack that hold a part for every layer, such as embeddings per layer.

A dimension of theirs is the layer count times a size that the config names.
That is a fact (`_FACTS`, one line each) and never guessed from a shape that
happens to divide; a tensor that speaks of layers and is as long as the stack
without such a fact is only reported, so that it can be refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FACTS = (
    ("hidden_size_per_layer_input", re.compile(r"(^|\.)embed_tokens_per_layer\.weight$"), 1),  # Gemma 3n, 4
    ("hidden_size_per_layer_input", re.compile(r"(^|\.)per_layer_model_projection\.weight$"), 0),
)
"""Key of the size per layer, pattern of the name, and the dimension that holds all layers' parts."""

_OF_A_FACT = re.compile(r"(^|\.)(embed_tokens_per_layer|per_layer_model_projection)\.")
"""What belongs to one of these, under whatever ending: a quantised one has scales beside its codes."""

_OF_NO_LAYER = re.compile(r"(^|\.)per_layer_projection_norm\.")
"""What is as long as one layer's part by what it is, and as the stack only by chance (Gemma 3n, 4)."""

_SPEAKS_OF_LAYERS = re.compile(r"(^|[._])layers?(?!_?norm)([._]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthIndexed:
    """The dimension `axis` of a tensor is `num_layers` parts of `size` elements each."""

    axis: int
    size: int


def depth_indexed(
    name: str, shape: tuple[int, ...], level: Mapping[str, Any], num_layers: int
) -> DepthIndexed | None:
    """Return how a tensor outside the stack is cut by layers, or nothing where it isn't."""
    for key, pattern, axis in _FACTS:
        size = level.get(key)
        if pattern.search(name) and type(size) is int and size > 0 and axis < len(shape):
            return DepthIndexed(axis=axis, size=size) if shape[axis] == num_layers * size else None
    return None


def is_of_depth_indexed(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor belongs to what holds a part for every layer, and isn't one number for all."""
    return _OF_A_FACT.search(name) is not None and math.prod(shape) > 1


def may_be_depth_indexed(name: str, shape: tuple[int, ...], num_layers: int) -> bool:
    """Whether a tensor speaks of layers by its name and has one dimension as long as the stack."""
    if num_layers not in shape[:1] or num_layers == 1 or any(part.isdigit() for part in name.split(".")):
        return False
    return _SPEAKS_OF_LAYERS.search(name) is not None and not _OF_NO_LAYER.search(name)
