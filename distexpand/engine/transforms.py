"""Elementwise transforms with torch, on blocks; each equals the plain computation on the whole tensor.

Every step is elementwise with a stated dtype, so the result doesn't depend on
where a tensor is cut. A float32 blend is computed in float64 and rounded at
every term: the product of two float32 is exact there, so the sum is that of a
fused multiply-add (which is what mergekit gets where the processor fuses) on
every processor. A NaN comes out as the one quiet NaN of its dtype: its bits
would otherwise tell whether a vector instruction or the loop for the rest had
made it. torch is imported with the first transform: a run of copies never pays
for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from distexpand.errors import MissingDependencyError
from distexpand.formats.dtypes import DType
from distexpand.plan.model import Plan, ShardPlan
from distexpand.plan.operations import Blend, Scale, terms_of

STEP_ELEMENTS = 1 << 18
"""Elements transformed at a time, so that intermediates stay in the processor's cache."""

_NAN_BITS = {
    DType.F16: 0x7E00,
    DType.BF16: 0x7FC0,
    DType.F32: 0x7FC0_0000,
    DType.F64: 0x7FF8_0000_0000_0000,
}


def needs_torch(plan: Plan) -> bool:
    """Whether a plan transforms any tensor, for which torch has to be there."""
    return any(_transforms(shard) for shard in plan.shards)


@contextmanager
def single_threaded_transforms(plan: Plan) -> Iterator[None]:
    """Keep torch to one thread per operation, if the plan transforms at all.

    The engine's own threads are the parallelism; torch's on top of them would only
    compete. The caller's setting is restored.

    Raises:
        MissingDependencyError: the plan transforms and torch isn't installed.
    """
    with _single_threaded(needed=needs_torch(plan)):
        yield


@contextmanager
def single_threaded_shard(shard: ShardPlan) -> Iterator[None]:
    """Do the same for one shard.

    Raises:
        MissingDependencyError: it has transforms and torch isn't installed.
    """
    with _single_threaded(needed=_transforms(shard)):
        yield


@contextmanager
def _single_threaded(*, needed: bool) -> Iterator[None]:
    """Keep torch to one thread per operation, if it is needed.

    Raises:
        MissingDependencyError: it is needed and isn't installed.
    """
    if not needed:
        yield
        return
    torch = require_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def apply_transform(operation: Scale | Blend, inputs: list[memoryview], target: memoryview) -> None:
    """Compute the operation's output bytes from its terms' bytes.

    Raises:
        MissingDependencyError: torch isn't installed.
    """
    torch = require_torch()
    sources = [
        torch.frombuffer(data, dtype=torch_dtype(term.dtype))
        for data, term in zip(inputs, terms_of(operation), strict=True)
    ]
    result = torch.frombuffer(target, dtype=torch_dtype(operation.target))
    for start in range(0, len(result), STEP_ELEMENTS):
        stop = start + STEP_ELEMENTS
        parts = [source[start:stop] for source in sources]
        made = _scaled(operation, parts[0]) if isinstance(operation, Scale) else _blended(operation, parts)
        result[start:stop] = made.to(result.dtype)
        _settle_nan(result[start:stop], operation.target)


def nan_bits(dtype: DType) -> int:
    """Return the bits of the only NaN that a transform writes, as a whole number of the dtype's size."""
    return _NAN_BITS[dtype]


@cache
def torch_dtype(dtype: DType) -> Any:
    """Return torch's dtype of a plain float."""
    return getattr(require_torch(), dtype.torch_name or "")


@cache
def require_torch() -> Any:
    """Return torch.

    Raises:
        MissingDependencyError: torch isn't installed.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "this recipe scales, casts or blends tensors, which needs torch",
            hint="Install it with: pip install 'distexpand[torch]'",
        ) from None
    return torch


def _settle_nan(values: Any, dtype: DType) -> None:
    """Give every NaN the same bits; the maximum is NaN where any value is, and cheap to find."""
    torch = require_torch()
    if torch.isnan(values.amax()):
        bits = values.view(getattr(torch, f"int{dtype.bits}"))
        bits.masked_fill_(torch.isnan(values), nan_bits(dtype))


def _scaled(operation: Scale, term: Any) -> Any:
    value = term.to(torch_dtype(operation.compute))
    return value if operation.factor == 1 else value * operation.factor


def _blended(operation: Blend, terms: list[Any]) -> Any:
    torch = require_torch()
    compute = torch_dtype(operation.compute)
    wide = torch.float64 if operation.compute is DType.F64 else torch.float32
    weights = torch.tensor(operation.weights, dtype=wide)
    total = torch.zeros(len(terms[0]), dtype=wide)
    for term, weight in zip(terms, weights.double(), strict=True):
        total = torch.add(total, term.to(compute).double().mul_(weight)).to(wide)
    if operation.normalize:
        total.div_(weights.sum())
    return total.to(compute)


def _transforms(shard: ShardPlan) -> bool:
    return any(isinstance(operation, Scale | Blend) for operation in shard.operations)
