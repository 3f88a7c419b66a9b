"""Low-rank additions whose rows are brought to a length (DoRA).

As in `low_rank` a library's products and sums, whatever their order, only propose: around each
proposal lies an interval that holds the definition's number, and a row in which the ends of one
don't round to the same bits is computed by the definition. All is in float64, whose intervals are
so narrow that this is one row in some hundred for float32, and hardly any for 16 bits. Rejected:
proposals in float32, which suffice there; an error in a length is one in all of the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distexpand.engine.low_rank import different
from distexpand.engine.quiet_nan import settle_nan
from distexpand.engine.rounding import rounded_once
from distexpand.engine.thin_matrices import HeldRight, Right, exact_sums, read_elements, read_left
from distexpand.engine.torch_library import require_numpy, require_torch, torch_dtype
from distexpand.formats.dtypes import DType
from distexpand.planning.operations import AddLowRank, row_offset
from distexpand.storage.ranges import RangeReader, Readers

TILE_ELEMENTS = 1 << 17
"""Elements of the result that are made at a time, unless a row has more."""

FACTOR_ELEMENTS = 1 << 18
"""Elements of the left factor, and products for elements of the definition, that are in memory at a time."""

_UNIT = 2.0**-53
"""The most that one rounding to float64 errs, of what is rounded."""

_TINY = 2.0**-500
"""Far below what any dtype but float64 holds, and far above what is flushed to zero."""

_LEAST, _MOST = 2.0**-200, 2.0**200
"""Rows with other lengths are computed by the definition, as their squares may leave float64's range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Some whole rows of W in its dtype, the left factor and the lengths for them in float64."""

    numbers: range
    weights: Any
    left: Any
    magnitude: Any

    def part(self, rows: slice) -> "_Rows":
        """Return some of the rows, with W in float64."""
        return _Rows(
            numbers=self.numbers[rows],
            weights=self.weights[rows].double(),
            left=self.left[rows],
            magnitude=self.magnitude[rows],
        )


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
        at_once = max(1, TILE_ELEMENTS // operation.columns)
        for rows in _read_rows(operation, weights, readers):
            for first in range(0, len(rows.numbers), at_once):
                part = rows.part(slice(first, first + at_once))
                _put(operation, part.numbers, _rows_of_length(operation, part, right), result)
        settle_nan(result, operation.target)


def _put(operation: AddLowRank, numbers: range, values: Any, result: Any) -> None:
    """Put what the operation makes of some whole rows in its place."""
    begin, end = (row * operation.columns - operation.skipped for row in (numbers.start, numbers.stop))
    made = slice(max(begin, 0), min(end, len(result)))
    result[made] = values.view(-1)[made.start - begin : made.stop - begin]


def _read_rows(operation: AddLowRank, weights: Any, readers: Readers) -> Iterator[_Rows]:
    """Yield whole rows of W in order; of the first and the last it is read what the operation leaves out."""
    made = operation.made_rows
    at_once = max(1, FACTOR_ELEMENTS // operation.rank)
    for first in range(made.start, made.stop, at_once):
        numbers = range(first, min(first + at_once, made.stop))
        yield _Rows(
            numbers=numbers,
            weights=_whole_rows(operation, numbers, weights, readers[operation.term.source]),
            left=read_left(operation, numbers, readers[operation.left.source]),
            magnitude=_read_lengths(operation, numbers, readers),
        )


def _whole_rows(operation: AddLowRank, numbers: range, weights: Any, reader: RangeReader) -> Any:
    """Return rows of W in its dtype: a copy, as the part's own memory may be that of the result."""
    columns, term = operation.columns, operation.term
    begin, end = (row * columns - operation.skipped for row in (numbers.start, numbers.stop))
    parts = [weights[max(begin, 0) : min(end, len(weights))]]
    if begin < 0:
        parts.insert(0, read_elements(reader, term, row_offset(operation, numbers.start), -begin))
    if end > len(weights):
        missing = end - len(weights)
        offset = row_offset(operation, numbers.stop) - missing * term.dtype.bits // 8
        parts.append(read_elements(reader, term, offset, missing))
    return require_torch().cat(parts).view(len(numbers), columns)


def _read_lengths(operation: AddLowRank, numbers: range, readers: Readers) -> Any:
    magnitude = operation.magnitude
    assert magnitude is not None
    offset = magnitude.source_offset + numbers.start * magnitude.dtype.bits // 8
    return read_elements(readers[magnitude.source], magnitude, offset, len(numbers)).double()


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
    at_once = max(1, FACTOR_ELEMENTS // operation.rank)
    left, weights = rows.left[index : index + 1], rows.weights[index]
    sums = exact_sums(operation, left, right.values, weights, every, at_once=at_once)
    with numpy.errstate(all="ignore"):  # torch's square root isn't always rounded to the nearest
        length = numpy.sqrt(numpy.add.accumulate((sums * sums).numpy())[-1])
        made = sums.numpy() * (rows.magnitude[index].numpy() / length)
    return rounded_once(torch.from_numpy(made), operation.target)
