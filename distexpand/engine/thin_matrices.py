"""The two thin matrices of a low-rank addition: read, held, and multiplied exactly as the operation says."""

from dataclasses import dataclass
from typing import Any

from distexpand.engine.torch_library import require_numpy, require_torch, torch_dtype
from distexpand.planning.operations import AddLowRank, Term
from distexpand.storage.ranges import RangeReader, Readers


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """The factor of which each row needs all: (rank, columns) in float64, and its longest column's length."""

    reader: RangeReader
    identity: tuple[Term, int, int, bool]
    values: Any
    length: float


class HeldRight:
    """The last factor that every row needs whole, so that one operation's is read once."""

    def __init__(self) -> None:
        self._right: Right | None = None

    def of(self, operation: AddLowRank, readers: Readers) -> Right:
        """Return an operation's right factor, read unless it is the one before.

        Raises:
            StorageError: reading it failed.
        """
        term, reader = operation.right, readers[operation.right.source]
        identity = (term, operation.rank, operation.columns, operation.transposed)
        held = self._right
        if held is None or held.reader is not reader or held.identity != identity:
            count = operation.rank * operation.columns
            values = read_elements(reader, term, term.source_offset, count).double()
            if operation.transposed:
                values = values.view(operation.columns, operation.rank).T
            else:
                values = values.view(operation.rank, operation.columns)
            length = require_torch().linalg.vector_norm(values, dim=0).max().item()
            held = Right(reader=reader, identity=identity, values=values, length=length)
            self._right = held
        return held


def read_left(operation: AddLowRank, rows: range, reader: RangeReader) -> Any:
    """Return the left factor's rows that make these rows of the result, (rows, rank) in float64.

    Raises:
        StorageError: reading them failed.
    """
    term, rank = operation.left, operation.rank
    size = term.dtype.bits // 8
    if not operation.transposed:
        offset = term.source_offset + rows.start * rank * size
        return read_elements(reader, term, offset, len(rows) * rank).double().view(len(rows), rank)
    starts = (term.source_offset + (number * operation.rows + rows.start) * size for number in range(rank))
    columns = [read_elements(reader, term, start, len(rows)).double() for start in starts]
    return require_torch().stack(columns, dim=1)


def read_elements(reader: RangeReader, term: Term, offset: int, count: int) -> Any:
    """Return elements of a term from a byte of its file.

    Raises:
        StorageError: reading them failed.
    """
    raw = bytearray(count * term.dtype.bits // 8)
    reader.read_into(offset, memoryview(raw))
    return require_torch().frombuffer(raw, dtype=torch_dtype(term.dtype))


def exact_sums(
    operation: AddLowRank, left: Any, right: Any, weights: Any, indices: Any, *, at_once: int
) -> Any:
    """Return W plus the delta in float64, as the operation defines it, at some positions of a tile.

    Args:
        operation: that says so.
        left: (rows, rank), of the tile's rows.
        right: (rank, columns), of the tile's columns.
        weights: the tile's elements of W, row by row.
        indices: the positions.
        at_once: how many elements' products are in memory at a time.
    """
    torch, numpy = require_torch(), require_numpy()
    made = torch.empty(len(indices), dtype=torch.float64)
    if not len(indices):  # no part at all is split into one empty part
        return made
    width = right.shape[1]
    for part, target in zip(indices.split(at_once), made.split(at_once), strict=True):
        products = left[part // width] * right.T[part % width]
        with numpy.errstate(all="ignore"):
            # Unlike a sum or a product of matrices this is by its documentation done in order.
            sums = torch.from_numpy(numpy.add.accumulate(products.numpy(), axis=1)[:, -1])
        torch.add(weights[part].double(), sums * operation.scaling + 0.0, out=target)
    return made
