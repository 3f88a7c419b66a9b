"""Low-rank additions, W + scaling * (B @ A), at the speed of a matrix product.

An operation defines every element by a sum in order of rank, so that the result depends on
nothing else. A library's matrix product adds in whatever order suits its shapes and the
processor. So here it only proposes: around its result lies an interval that holds the
definition's whatever the order was, and where both ends round to the same bits of the target,
so does everything between. The elements where they don't, one in some thousand, are computed
by the definition.

The product is one of float64 also where float32 would be exact enough: settings of processors
and libraries may turn float32 products into ones of bfloat16, with errors beyond any bound.
Rejected: the definition for all elements, a pass over memory for every rank, which takes
two to three times as long; splitting the factors into parts whose products are exact in any order,
which needs four products.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from distexpand.engine.quiet_nan import settle_nan
from distexpand.engine.rounding import rounded_once
from distexpand.engine.scratch import Scratch
from distexpand.engine.thin_matrices import HeldRight, Right, exact_sums, read_left
from distexpand.engine.torch_library import require_torch, torch_dtype
from distexpand.formats.dtypes import DType
from distexpand.planning.operations import AddLowRank
from distexpand.storage.ranges import Readers

TILE_ELEMENTS = 1 << 18
"""Elements of the result that are made at a time, so that intermediates stay in the processor's cache."""

FACTOR_ELEMENTS = 1 << 18
"""Elements of the thin matrices' rows, and products of theirs, that are in memory at a time."""

_TOO_LARGE = 2.0**120
"""Deltas that may reach this are computed by the definition, as a float32 may overflow on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Precision:
    """What a proposal is computed in: a dtype, the most that one rounding errs, and what counts as nothing.

    Below `tiny` numbers may lose bits, or be flushed to zero if a processor was set to do that.
    """

    dtype: Any
    unit: float
    tiny: float

    @property
    def share(self) -> float:
        """What part of a proposal is room for the roundings of it, of both ends and of the definition."""
        return 4 * self.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """What makes some rows of the result, in float64: `left` (rows, rank) and `right` (rank, columns).

    With `precision` proposals can be made: from `scaled`, which is `left` times the scaling,
    and with room of `share * margins`, (rows, 1) of the precision's dtype, for the products' errors.
    """

    left: Any
    right: Any
    precision: _Precision | None
    scaled: Any = None
    margins: Any = None

    def part(self, rows: slice, columns: slice) -> Self:
        """Return what makes a rectangle of the same result."""
        left, right = self.left[rows], self.right[:, columns]
        if self.precision is None:
            return replace(self, left=left, right=right)
        return replace(self, left=left, right=right, scaled=self.scaled[rows], margins=self.margins[rows])


class LowRankAdder:
    """Adds low-rank deltas for one thread; holds the last factor that every row needs whole."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._right = HeldRight()

    def add(self, operation: AddLowRank, weight: memoryview, target: memoryview, readers: Readers) -> None:
        """Compute the operation's output bytes from those of W, which may be the target itself.

        Raises:
            MissingDependencyError: torch isn't installed.
            StorageError: reading a factor failed.
        """
        torch = require_torch()
        weights = torch.frombuffer(weight, dtype=torch_dtype(operation.term.dtype))
        result = torch.frombuffer(target, dtype=torch_dtype(operation.target))
        right = self._right.of(operation, readers)
        made, columns = operation.made_rows, operation.columns
        at_once = max(1, FACTOR_ELEMENTS // operation.rank)
        for first in range(made.start, made.stop, at_once):
            rows = range(first, min(first + at_once, made.stop))
            factors = _factors(operation, read_left(operation, rows, readers[operation.left.source]), right)
            begin = max(rows.start * columns, operation.skipped)
            end = min(rows.stop * columns, operation.skipped + len(result))
            for row, count, column, width in _tiles(begin, end, columns):
                start = row * columns + column - operation.skipped
                part = slice(start, start + count * width)
                making = factors.part(slice(row - first, row - first + count), slice(column, column + width))
                self._add_tile(operation, making, weights[part], result[part])
        settle_nan(result, operation.target)

    def _add_tile(self, operation: AddLowRank, factors: _Factors, weights: Any, result: Any) -> None:
        """Make whole rows, or a part of one, of the result."""
        if factors.precision is None:
            every = require_torch().arange(len(result))
            result.copy_(_defined(operation, factors, weights, every))
            return
        low, high = self._propose(factors, factors.precision, weights, torch_dtype(operation.target))
        doubtful = different(low, high, operation.target)
        made = _defined(operation, factors, weights, doubtful)  # before W is overwritten, if it is in place
        result.copy_(low)
        result[doubtful] = made

    def _propose(
        self, factors: _Factors, precision: _Precision, weights: Any, target: Any
    ) -> tuple[Any, Any]:
        """Return what both ends of each element's interval round to in torch's dtype `target`."""
        torch = require_torch()
        count, shape = len(weights), (len(factors.left), factors.right.shape[1])

        def area(name: str, dtype: Any) -> Any:
            return self._scratch.take(name, dtype, count).view(shape)

        delta = torch.mm(factors.scaled, factors.right, out=area("delta", torch.float64))
        value = area("value", precision.dtype).copy_(weights.view(shape))
        reach = area("reach", precision.dtype)
        value.add_(reach.copy_(delta) if precision.dtype != delta.dtype else delta)
        torch.abs(value, out=reach).add_(factors.margins)
        low, high = area("low", target), area("high", target)
        end = delta.view(count).view(precision.dtype)[:count].view(shape)  # its memory is in the cache
        low.copy_(torch.sub(value, reach, alpha=precision.share, out=end))
        high.copy_(value.add_(reach, alpha=precision.share))
        return low.view(count), high.view(count)


def _tiles(begin: int, end: int, columns: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield row, rows, column and columns of runs of elements: whole rows, or a part of one; in order."""
    while begin < end:
        row, column = divmod(begin, columns)
        if column or min(end - begin, TILE_ELEMENTS) < columns:
            count, width = 1, min(columns - column, end - begin, TILE_ELEMENTS)
        else:
            count, width = min(end - begin, TILE_ELEMENTS) // columns, columns
        yield row, count, column, width
        begin += count * width


def _factors(operation: AddLowRank, left: Any, right: Right) -> _Factors:
    """Return what makes the rows of a left factor, ready for proposals where they can be made.

    A sum's error in any order is at most rank * 2**-53 times the sum of its terms' absolute
    values, and that at most the product of the lengths of row and column. The rest is room for
    scaling, and for rounding the delta to the proposal's precision. A row without deltas errs by nothing.
    """
    precision, rank = _precision(operation), operation.rank
    lengths = require_torch().linalg.vector_norm(left, dim=1, keepdim=True)
    reach = lengths * abs(operation.scaling)
    if precision is None or not (reach * max(right.length, 1.0) * (rank + 8) < _TOO_LARGE).all():
        return _Factors(left=left, right=right.values, precision=None)
    relative = 2 * precision.unit + (rank + 8) * 2.0**-51
    bounds = reach * right.length * relative + precision.tiny * ((lengths > 0) & (right.length > 0))
    return _Factors(
        left=left,
        right=right.values,
        precision=precision,
        scaled=left * operation.scaling,
        margins=(bounds / precision.share).to(precision.dtype),
    )


def _precision(operation: AddLowRank) -> _Precision | None:
    """Return a precision that holds every W and is rounded to the target once; nothing if there is none."""
    torch = require_torch()
    if DType.F64 in {operation.term.dtype, operation.target}:
        return None
    if operation.target is DType.F32:
        return _Precision(dtype=torch.float64, unit=2.0**-53, tiny=2.0**-900)
    return _Precision(dtype=torch.float32, unit=2.0**-24, tiny=2.0**-120)


def _defined(operation: AddLowRank, factors: _Factors, weights: Any, indices: Any) -> Any:
    """Return a tile's elements at these positions, as the operation defines them."""
    at_once = max(1, FACTOR_ELEMENTS // operation.rank)
    exact = exact_sums(operation, factors.left, factors.right, weights, indices, at_once=at_once)
    return rounded_once(exact, operation.target)


def different(one: Any, other: Any, dtype: DType) -> Any:
    """Return the positions where two tensors of a dtype have different bits."""
    whole = getattr(require_torch(), f"int{dtype.bits}")
    differs = one.view(whole).numpy() != other.view(whole).numpy()
    return require_torch().from_numpy(differs.nonzero()[0])
