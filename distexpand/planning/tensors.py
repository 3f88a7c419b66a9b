"""Output tensors before they are given a place: name, dtype, shape and how the bytes come to be."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.formats.dtypes import DType, promoted
from distexpand.planning.adapters.adapter import Change
from distexpand.planning.operations import (
    Blend,
    Constant,
    Copy,
    Operation,
    Scale,
    Term,
    Zero,
    constant_element,
)

SourceNumber: TypeAlias = Callable[[str, str], int]
"""Gives the position in the plan's sources of a model's file."""

_TAME = (2.0**-10, 2.0**10)


class OutputTensor(NamedTuple):
    """One tensor of the output; its operation's offset is 0 until it is packed.

    A tuple for the same reason as `TensorHeader`.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    operation: Operation

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedEntry:
    """A source tensor and its number: the factor in passthrough, the weight in linear.

    `change` is what an adapter makes of it first.
    """

    model: str
    entry: TensorEntry
    value: float
    change: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Casting:
    """The recipe's `dtype` (before arithmetic) and `out_dtype` (stored); nothing keeps the source's."""

    dtype: DType | None
    out_dtype: DType | None

    def resolve(self, source: TensorEntry, model: str) -> tuple[DType, DType]:
        """Return compute and target dtype of a tensor; integers and booleans are never cast.

        Raises:
            RecipeError: a block-scaled or packed float would have to be cast.
        """
        wanted = self.out_dtype or self.dtype
        if source.dtype.is_scaled_float and wanted is not None:
            raise RecipeError(
                f"{model}: tensor {source.name!r} is {source.dtype.value} and can't be cast alone: "
                "its values mean nothing without their scales",
                hint="Remove dtype and out_dtype from the recipe, or dequantise the source first.",
            )
        if not source.dtype.is_plain_float:
            return source.dtype, source.dtype
        return self._floats(source.dtype)

    def resolve_sum(self, sources: Iterable[TensorEntry]) -> tuple[DType, DType]:
        """Return compute and target dtype of a sum of plain floats, whatever their order."""
        return self._floats(promoted(source.dtype for source in sources))

    def _floats(self, stored: DType) -> tuple[DType, DType]:
        compute = self.dtype or stored
        return compute, self.out_dtype or compute


def zero_tensor(name: str, source: WeightedEntry, casting: Casting) -> OutputTensor:
    """Return a tensor of zeros shaped like its source."""
    _, target = casting.resolve(source.entry, source.model)
    length = source.entry.parameters * target.bits // 8
    operation = Zero(offset=0, length=length)
    return OutputTensor(name=name, dtype=target, shape=source.entry.shape, operation=operation)


def constant_tensor(name: str, source: WeightedEntry, value: float, casting: Casting) -> OutputTensor:
    """Return a tensor shaped like its source, every element of it `value`.

    Raises:
        RecipeError: the tensor's dtype can't hold the value.
    """
    if value == 0:
        return zero_tensor(name, source, casting)
    _, target = casting.resolve(source.entry, source.model)
    try:
        constant_element(value, target)
    except ValueError as error:
        raise RecipeError(f"{source.model}: tensor {source.entry.name!r}: {error}") from None
    length = source.entry.parameters * target.bits // 8
    operation = Constant(offset=0, length=length, value=value, target=target)
    return OutputTensor(name=name, dtype=target, shape=source.entry.shape, operation=operation)


def copied_tensor(name: str, source: WeightedEntry, number: SourceNumber) -> OutputTensor:
    """Return a tensor as its source has it."""
    return entry_copied(name, source.entry, number(source.model, source.entry.file))


def entry_copied(name: str, entry: TensorEntry, source: int) -> OutputTensor:
    """Return a tensor as file number `source` has it."""
    operation = Copy(offset=0, length=entry.length, source=source, source_offset=entry.offset)
    return OutputTensor(name=name, dtype=entry.dtype, shape=entry.shape, operation=operation)


def passthrough_tensor(
    name: str, source: WeightedEntry, casting: Casting, number: SourceNumber
) -> OutputTensor:
    """Return a copied, scaled, cast or zeroed tensor.

    Raises:
        RecipeError: a factor other than 0 or 1 on a tensor that isn't a plain float.
    """
    if source.value == 0:
        return zero_tensor(name, source, casting)
    entry = source.entry
    compute, target = casting.resolve(entry, source.model)
    if source.value == 1 and entry.dtype == compute == target:
        return copied_tensor(name, source, number)
    _require_plain(source)
    operation = Scale(
        offset=0,
        length=entry.parameters * target.bits // 8,
        term=Term(source=number(source.model, entry.file), source_offset=entry.offset, dtype=entry.dtype),
        factor=source.value,
        compute=compute,
        target=target,
    )
    return OutputTensor(name=name, dtype=target, shape=entry.shape, operation=operation)


def blended_tensor(
    name: str,
    sources: tuple[WeightedEntry, ...],
    casting: Casting,
    number: SourceNumber,
    *,
    normalize: bool,
) -> OutputTensor:
    """Return the weighted sum of tensors; sources of weight 0 aren't read.

    Raises:
        RecipeError: no source has weight, shapes differ, or a tensor isn't a plain float.
    """
    used = tuple(source for source in sources if source.value != 0)
    if not used or (normalize and sum(source.value for source in used) == 0):
        raise RecipeError(
            f"tensor {name!r}: the weights of its sources add up to 0",
            hint="Change a weight, or set `normalize: false`.",
        )
    first = used[0]
    if _is_copy(used, casting.resolve(first.entry, first.model)[0], normalize=normalize):
        only = WeightedEntry(model=first.model, entry=first.entry, value=1.0)
        return passthrough_tensor(name, only, casting, number)
    for source in used:
        _require_plain(source)
        _require_same_shape(name, first, source)
    compute, target = casting.resolve_sum(source.entry for source in used)
    operation = Blend(
        offset=0,
        length=first.entry.parameters * target.bits // 8,
        terms=tuple(
            Term(source=number(s.model, s.entry.file), source_offset=s.entry.offset, dtype=s.entry.dtype)
            for s in used
        ),
        weights=tuple(source.value for source in used),
        normalize=normalize,
        compute=compute,
        target=target,
    )
    return OutputTensor(name=name, dtype=target, shape=first.entry.shape, operation=operation)


def _is_copy(used: tuple[WeightedEntry, ...], compute: DType, *, normalize: bool) -> bool:
    """Whether a weighted sum is its only source unchanged.

    (w * x) / w in float32 rounds back to x in a 16-bit dtype, unless w is so extreme that the
    product leaves float32's range; in wider dtypes only w = 1 is exact.
    """
    if len(used) != 1:
        return False
    value = abs(used[0].value)
    return used[0].value == 1 or (
        normalize and compute in {DType.F16, DType.BF16} and _TAME[0] < value < _TAME[1]
    )


def _require_plain(source: WeightedEntry) -> None:
    entry = source.entry
    if not entry.dtype.is_plain_float:
        raise RecipeError(
            f"{source.model}: tensor {entry.name!r} is {entry.dtype.value}; "
            "only 0 and 1 are possible as its scale, and no blending",
            hint="Exclude it with a filter of value 1, or use an unquantised source.",
        )


def _require_same_shape(name: str, first: WeightedEntry, other: WeightedEntry) -> None:
    if first.entry.shape != other.entry.shape:
        raise RecipeError(
            f"tensor {name!r}: shapes differ: {list(first.entry.shape)} in {first.model}, "
            f"{list(other.entry.shape)} in {other.model}",
            hint="Only models of the same sizes can be added up; passthrough takes each layer from one.",
        )
