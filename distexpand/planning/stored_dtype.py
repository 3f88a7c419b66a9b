"""The one dtype that a model is said to be stored in, where its tensors have more than one."""

from collections.abc import Iterable, Sequence

from distexpand.formats.dtypes import DType
from distexpand.planning.operations import Blend
from distexpand.planning.tensors import OutputTensor
from distexpand.recipe.canonical import Recipe


def main_dtype(lengths: Iterable[tuple[DType, int]]) -> DType:
    """Return the dtype of most bytes, of all tensors' dtypes and lengths."""
    sizes: dict[DType, int] = {}
    for dtype, length in lengths:
        sizes[dtype] = sizes.get(dtype, 0) + length
    return max(sizes, key=lambda dtype: sizes[dtype])


def changed_dtype(recipe: Recipe, tensors: Sequence[OutputTensor]) -> DType | None:
    """Return the dtype that the output is stored in, or nothing where the base model's config knows.

    It doesn't if the recipe casts, or if a sum of different dtypes is in the one that holds them all.
    """
    wanted = recipe.out_dtype or recipe.dtype
    if wanted is not None or not any(_is_promoted(tensor) for tensor in tensors):
        return wanted
    return main_dtype((tensor.dtype, tensor.operation.length) for tensor in tensors)


def _is_promoted(tensor: OutputTensor) -> bool:
    operation = tensor.operation
    return isinstance(operation, Blend) and len({term.dtype for term in operation.terms}) > 1
