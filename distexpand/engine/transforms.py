"""Elementwise transforms with torch, on blocks; each equals the plain computation on the whole tensor.

Every step is elementwise with a stated dtype, so the result doesn't depend on
where a tensor is cut. A float32 blend is computed in float64 and rounded at
every term: the product of two float32 is exact there, so the sum is that of a
fused multiply-add (which is what mergekit gets where the processor fuses) on
every processor. A NaN comes out as the one quiet NaN of its dtype: its bits
would otherwise tell whether a vector instruction or the loop for the rest had
made it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from distexpand.engine.quiet_nan import settle_nan
from distexpand.engine.scratch import Scratch
from distexpand.engine.torch_library import require_torch, torch_dtype
from distexpand.formats.dtypes import DType
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import Blend, Elementwise, Scale, terms_of

STAGED_ELEMENTS = 1 << 18
"""Elements transformed at a time where there are intermediates, so that those stay in the processor's cache.

Without any the whole input is one call: each costs microseconds, in which threads wait for each other.
"""

_holding = threading.Lock()
_held: list[int] = []
"""The caller's number of torch's threads, once for each run of this process that needs one; it is restored
when the last of them ends."""


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
    with _holding:
        if not _held:
            _held.append(torch.get_num_threads())
            torch.set_num_threads(1)
        else:
            _held.append(_held[0])
    try:
        yield
    finally:
        with _holding:
            before = _held.pop()
            if not _held:
                torch.set_num_threads(before)


def apply_transform(
    operation: Scale | Blend, inputs: list[memoryview], target: memoryview, scratch: Scratch
) -> None:
    """Compute the operation's output bytes from its terms' bytes.

    An input may be the target itself, if elements of both have the same size.

    Raises:
        MissingDependencyError: torch isn't installed.
    """
    torch = require_torch()
    sources = [
        torch.frombuffer(data, dtype=torch_dtype(term.dtype))
        for data, term in zip(inputs, terms_of(operation), strict=True)
    ]
    result = torch.frombuffer(target, dtype=torch_dtype(operation.target))
    count = STAGED_ELEMENTS if _is_staged(operation) else len(result)
    for part, *parts in zip(result.split(count), *(source.split(count) for source in sources), strict=True):
        if isinstance(operation, Scale):
            _scale(operation, parts[0], part, scratch)
        else:
            _blend(operation, parts, part, scratch)
    settle_nan(result, operation.target)


def _is_staged(operation: Scale | Blend) -> bool:
    """Whether values go through scratch on their way from source to target."""
    if isinstance(operation, Blend):
        return True
    source, target = operation.term.dtype, operation.target
    first = target if source is operation.compute and operation.factor == 1 else operation.compute
    return first is not target or (torch_dtype(source), torch_dtype(first)) in _slow_casts()


def _scale(operation: Scale, source: Any, result: Any, scratch: Scratch) -> None:
    compute = torch_dtype(operation.compute)
    value = result if result.dtype == compute else scratch.take("value", compute, len(result))
    if source.dtype != compute:
        _cast(source, value, scratch)
        source = value
    if operation.factor != 1:
        require_torch().mul(source, operation.factor, out=value)
        source = value
    if source is not result:
        _cast(source, result, scratch)


def _blend(operation: Blend, terms: list[Any], result: Any, scratch: Scratch) -> None:
    """Sum up in float64; a float32 sum goes through float32 after every term.

    A product of two float32 is exact in float64, so it makes no difference whether adding it
    is one instruction or two. A product of two float64 isn't, so there they are two.
    """
    torch = require_torch()
    count, compute = len(result), torch_dtype(operation.compute)
    wide = torch.float64 if operation.compute is DType.F64 else torch.float32
    weights = torch.tensor(operation.weights, dtype=wide)
    term64 = scratch.take("term", torch.float64, count)
    total = scratch.take("total", torch.float64, count).zero_()
    rounded = total if wide == torch.float64 else scratch.take("rounded", wide, count)
    for source, weight in zip(terms, weights.tolist(), strict=True):
        _cast(_as_computed(source, compute, scratch), term64, scratch)
        if rounded is total:
            total.add_(term64.mul_(weight))
        else:
            rounded.copy_(total.add_(term64, alpha=weight))
            total.copy_(rounded)
    if operation.normalize:
        rounded.div_(weights.sum())
    made = rounded if result.dtype == compute else _as_computed(rounded, compute, scratch)
    _cast(made, result, scratch)


def _as_computed(values: Any, compute: Any, scratch: Scratch) -> Any:
    """Return the values rounded to the dtype of computation, the same ones where it holds any of them."""
    if require_torch().promote_types(values.dtype, compute) == compute:
        return values
    narrowed = scratch.take("computed", compute, len(values))
    _cast(values, narrowed, scratch)
    return narrowed


def _cast(source: Any, result: Any, scratch: Scratch) -> None:
    """Round to the result's dtype, through float32 where that holds every value of the source.

    torch has no vector instructions for some casts between 16-bit and others, and takes up to five times
    as long for them as for both steps.
    """
    if (source.dtype, result.dtype) in _slow_casts():
        source = scratch.take("cast", require_torch().float32, len(source)).copy_(source)
    result.copy_(source)


@cache
def _slow_casts() -> frozenset[tuple[Any, Any]]:
    torch = require_torch()
    half, brain = torch.float16, torch.bfloat16
    return frozenset({(half, brain), (brain, half), (half, torch.float64)})


def _transforms(shard: ShardPlan) -> bool:
    return any(isinstance(operation, Elementwise) for operation in shard.operations)
