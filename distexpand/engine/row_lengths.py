"""Low-rank additions whose rows are brought to a length (DoRA).

As in `low_rank` a library's products and sums, whatever their order, only propose: around each
proposal lies an interval that holds the definition's number, and a row in which the ends of one
don't round to the same bits is computed by the definition. All is in float64, whose intervals are
so narrow that this is one row in some hundred for float32, and hardly any for 16 bits. Rejected:
proposals in float32, which suffice there; an error in a length is one in all of the row.
"""

from dataclasses import dataclass
from typing import Any

from distexpand.engine.low_rank import different
from distexpand.engine.quiet_nan import settle_nan
from distexpand.engine.rounding import rounded_once
from distexpand.engine.thin_matrices import HeldRight, Right, exact_sums, read_elements, read_left
from distexpand.engine.torch_library import require_numpy, require_torch, torch_dtype
from distexpand.formats.dtypes import DType
from distexpand.plan.operations import AddLowRank, Term, row_offset
from distexpand.storage.ranges import Readers

TILE_ELEMENTS = 1 << 17
"""Elements of the result that are made at a time, unless a row has more."""

PRODUCT_ELEMENTS = 1 << 18
"""Products for elements of the definition that are in memory at a time."""

_UNIT = 2.0**-53
"""The most that one rounding to float64 errs, of what is rounded."""

_TINY = 2.0**-500
"""Far below what any dtype but float64 holds, and far above what is flushed to zero."""

_LEAST, _MOST = 2.0**-200, 2.0**200
"""Rows with other lengths are computed by the definition, as their squares may leave float64's range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Some whole rows of W, the left factor and the lengths for them, in float64."""

    numbers: range
    weights: Any
    left: Any
    magnitude: Any


class RowLengthSetter:
    """Adds low-rank deltas and sets the rows' lengths, for one thread."""

    def __init__(self) -> None:
        self._right = HeldRight()

    def add(self, operation: AddLowRank, weight: memoryview, target: memoryview, readers: Readers) -> None:
        """Compute the operation's output bytes from those of W, which may be the target itself.

        Raises:
            MissingDependencyError: torch isn't installed.
            StorageError: reading a factor, or the rest of a row, failed.
        """
        torch = require_torch()
        weights = torch.frombuffer(weight, dtype=torch_dtype(operation.term.dtype))
        result = torch.frombuffer(target, dtype=torch_dtype(operation.target))
        right = self._right.of(operation, readers)
        made, columns = operation.made_rows, operation.columns
        at_once = max(1, TILE_ELEMENTS // columns)
        for first in range(made.start, made.stop, at_once):
            numbers = range(first, min(first + at_once, made.stop))
            rows = _read_rows(operation, numbers, weights, readers)
            values = _rows_of_length(operation, rows, right)
            begin = max(first * columns, operation.skipped)
            end = min(numbers.stop * columns, operation.skipped + len(result))
            result[begin - operation.skipped : end - operation.skipped] = values.view(-1)[
                begin - first * columns : end - first * columns
            ]
        settle_nan(result, operation.target)


def _read_rows(operation: AddLowRank, numbers: range, weights: Any, readers: Readers) -> _Rows:
    """Return whole rows; what the first and the last have beyond the operation's part is read."""
    magnitude = operation.magnitude
    assert magnitude is not None
    columns, reader = operation.columns, readers[operation.term.source]
    begin, end = (row * columns - operation.skipped for row in (numbers.start, numbers.stop))
    parts = [weights[max(begin, 0) : min(end, len(weights))].double()]
    if begin < 0:
        offset = row_offset(operation, numbers.start)
        parts.insert(0, read_elements(reader, operation.term, offset, -begin))
    if end > len(weights):
        offset = row_offset(operation, numbers.stop) - (end - len(weights)) * operation.term.dtype.bits // 8
        parts.append(read_elements(reader, operation.term, offset, end - len(weights)))
    return _Rows(
        numbers=numbers,
        weights=require_torch().cat(parts).view(len(numbers), columns),
        left=read_left(operation, numbers, readers[operation.left.source]),
        magnitude=_read_lengths(magnitude, numbers, readers),
    )


def _read_lengths(magnitude: Term, numbers: range, readers: Readers) -> Any:
    offset = magnitude.source_offset + numbers.start * magnitude.dtype.bits // 8
    return read_elements(readers[magnitude.source], magnitude, offset, len(numbers))


def _rows_of_length(operation: AddLowRank, rows: _Rows, right: Right) -> Any:
    """Return the rows in the target's dtype."""
    torch = require_torch()
    if operation.target is DType.F64:
        made = torch.empty(rows.weights.shape, dtype=torch.float64)
        doubtful = torch.arange(len(rows.numbers))
    else:
        low, high, strange = _propose(operation, rows, right)
        made = rounded_once(low, operation.target)
        unequal = different(made, rounded_once(high, operation.target), operation.target)
        doubtful = torch.cat([unequal, strange]).unique()
    for index in doubtful.tolist():
        made[index] = _defined(operation, rows, index, right)
    return made


def _propose(operation: AddLowRank, rows: _Rows, right: Right) -> tuple[Any, Any, Any]:
    """Return both ends of each element's interval, and the rows for which they mean nothing.

    A sum V errs by its delta's error, which is as in `low_rank`, and by a rounding; a row's
    length by a rounding for each of its terms, and by no more than the V err together. Everything is
    doubled at least, so that it holds for products of errors as well.
    """
    torch = require_torch()
    columns, rank = operation.columns, operation.rank
    sums = torch.mm(rows.left * operation.scaling, right.values).add_(rows.weights)
    lengths = torch.linalg.vector_norm(rows.left, dim=1)
    error = lengths * (abs(operation.scaling) * right.length * (rank + 8) * 8 * _UNIT)
    error += _TINY * ((lengths > 0) & (right.length > 0))
    length = torch.linalg.vector_norm(sums, dim=1)
    factor = rows.magnitude / length
    relative = 2 * (columns + 16) * _UNIT + 2 * columns**0.5 * error / length
    bound = sums.abs().mul_(relative[:, None]).add_(error[:, None]).mul_(factor.abs()[:, None])
    value = sums.mul_(factor[:, None])
    usual = (length > _LEAST) & (length < _MOST) & (error < _MOST)
    usual &= (rows.magnitude.abs() > _LEAST) & (rows.magnitude.abs() < _MOST)
    return value - bound, value.add_(bound), (~usual).nonzero()[:, 0]


def _defined(operation: AddLowRank, rows: _Rows, index: int, right: Right) -> Any:
    """Return one row as the operation defines it."""
    torch, numpy = require_torch(), require_numpy()
    every = torch.arange(operation.columns)
    at_once = max(1, PRODUCT_ELEMENTS // operation.rank)
    left, weights = rows.left[index : index + 1], rows.weights[index]
    sums = exact_sums(operation, left, right.values, weights, every, at_once=at_once)
    with numpy.errstate(all="ignore"):  # torch's square root isn't always rounded to the nearest
        length = numpy.sqrt(numpy.add.accumulate((sums * sums).numpy())[-1])
        made = sums.numpy() * (rows.magnitude[index].numpy() / length)
    return rounded_once(torch.from_numpy(made), operation.target)
