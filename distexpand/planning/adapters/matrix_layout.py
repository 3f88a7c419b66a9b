"""Whether a model stores its matrices as (outputs, inputs), as most do, or the other way, as GPT-2 does."""

from collections.abc import Iterator

from distexpand.planning.sources import Tensors

MATRIX = 2
"""Axes of a matrix."""


def stored_transposed(tensors: Tensors) -> bool | None:
    """Return whether matrices are stored as (inputs, outputs), or nothing if none among the tensors tells.

    One tells if it isn't square and has a bias, which is as long as its outputs.
    """
    return next(_told(tensors), None)


def _told(tensors: Tensors) -> Iterator[bool]:
    for name, entry in tensors.items():
        bias = tensors.get(f"{name.removesuffix('weight')}bias")
        if not name.endswith("weight") or bias is None or len(entry.shape) != MATRIX:
            continue
        first, second = entry.shape
        if first != second and bias.shape in {(first,), (second,)}:
            yield bias.shape == (second,)
