"""Low-rank additions over random matrices, and what numpy makes of the whole matrices."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from distexpand.formats.dtypes import DType
from distexpand.planning.operations import AddLowRank, Term
from tests.engine.shards import MemoryReader

PLACES = {DType.F16: (11, -24), DType.BF16: (8, -133), DType.F32: (24, -149)}
"""Binary digits, and the exponent of the last place of the smallest numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """An operation that makes a whole matrix, the sources that it reads, and the matrices in float64."""

    operation: AddLowRank
    readers: list[MemoryReader]
    weight: np.ndarray
    a: np.ndarray
    b: np.ndarray
    magnitude: np.ndarray | None = None


def addition(
    weight: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    *,
    dtypes: tuple[DType, DType, DType] = (DType.BF16, DType.F32, DType.F32),
    target: DType = DType.BF16,
    scaling: float = 2.0,
    transposed: bool = False,
    magnitude: np.ndarray | None = None,
) -> Addition:
    """Return the addition to W, stored as it is given, of A (rank, in) and B (out, rank).

    W, A and B are rounded to `dtypes`, in this order, and the lengths of rows, if any, to
    float32. Each lies in a file of its own, a little behind its beginning.
    """
    matrices = [
        torch.from_numpy(np.array(values)).to(torch_name(dtype))
        for values, dtype in zip((weight, a, b), dtypes, strict=True)
    ]
    terms = [
        Term(source=number, source_offset=8 * number, dtype=dtype) for number, dtype in enumerate(dtypes)
    ]
    length = None
    if magnitude is not None:
        length = Term(source=len(terms), source_offset=8 * len(terms), dtype=DType.F32)
        matrices.append(torch.from_numpy(np.array(magnitude)).float())
    rows, columns = weight.shape
    return Addition(
        operation=AddLowRank(
            offset=0,
            length=weight.size * target.bits // 8,
            term=terms[0],
            a=terms[1],
            b=terms[2],
            rows=rows,
            columns=columns,
            rank=len(a),
            scaling=scaling,
            target=target,
            transposed=transposed,
            magnitude=length,
        ),
        readers=[
            MemoryReader(bytes(8 * number) + values.view(torch.uint8).numpy().tobytes())
            for number, values in enumerate(matrices)
        ],
        weight=matrices[0].double().numpy(),
        a=matrices[1].double().numpy(),
        b=matrices[2].double().numpy(),
        magnitude=None if magnitude is None else matrices[3].double().numpy(),
    )


def random_addition(
    seed: int, rows: int, columns: int, rank: int, *, lengths: bool = False, **options: object
) -> Addition:
    """Return an addition of ordinary numbers: W (rows, columns) as it is stored, with lengths on request."""
    generator = np.random.default_rng(seed)
    inner, outer = (rows, columns) if options.get("transposed") else (columns, rows)
    return addition(
        generator.normal(0, 0.02, (rows, columns)),
        generator.normal(0, 0.02, (rank, inner)),
        generator.normal(0, 0.01, (outer, rank)),
        magnitude=generator.uniform(0.5, 2, rows) if lengths else None,
        **options,  # type: ignore[arg-type]
    )


def expected(made: Addition) -> bytes:
    """Return the result's bytes, from whole matrices: numpy's float64 in order of rank, rounded once."""
    operation = made.operation
    with np.errstate(all="ignore"):
        total = np.zeros((len(made.b), made.a.shape[1]))
        for number in range(operation.rank):
            total += np.multiply.outer(made.b[:, number], made.a[number])
        delta = operation.scaling * total + 0.0
        values = made.weight + (delta.T if operation.transposed else delta)
        if made.magnitude is not None:
            lengths = [np.sqrt(np.add.accumulate(row * row)[-1]) for row in values]
            values = values * (made.magnitude / lengths)[:, None]
        return in_dtype(values, operation.target)


def in_dtype(values: np.ndarray, dtype: DType) -> bytes:
    """Return float64 values rounded to the nearest of a dtype, ties to even; NaNs as torch writes its own."""
    if dtype is not DType.F64:
        digits, least = PLACES[dtype]
        unit = np.ldexp(1.0, np.maximum(np.frexp(values)[1] - digits, least))
        values = np.where(np.isfinite(values), np.rint(values / unit) * unit, values)
    rounded = torch.from_numpy(values).to(torch_name(dtype))
    quiet = torch.full_like(rounded, float("nan"))
    return torch.where(torch.isnan(rounded), quiet, rounded).view(torch.uint8).numpy().tobytes()


def moved(made: Addition, offset: int) -> Addition:
    """Return the same, in another place of its shard."""
    return replace(made, operation=replace(made.operation, offset=offset))


def torch_name(dtype: DType) -> torch.dtype:
    found = getattr(torch, dtype.torch_name or "")
    assert isinstance(found, torch.dtype)
    return found
