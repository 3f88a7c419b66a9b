"""Check a plan on its own: coverage, source bounds, names. Needs nothing but the plan.

Run on every plan before it is executed, also on one that was read from a file:
a plan is input like any other.
"""

import math
from bisect import bisect_right

from distexpand.errors import CheckpointError, UsageError
from distexpand.formats.dtypes import DType
from distexpand.formats.header import LENGTH_BYTES, Header, TensorHeader, header_size, parse_header
from distexpand.formats.index import is_plain_path
from distexpand.planning.model import Plan, ShardPlan
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Elementwise,
    Gather,
    Operation,
    Zero,
    constant_element,
    source_terms,
    terms_of,
)

_EXACT_FACTORS = {DType.F16, DType.BF16, DType.F32}


def check_plan(plan: Plan) -> None:
    """Check that every output byte has exactly one origin, inside its source.

    Raises:
        UsageError: the plan breaks one of its promises; names shard and offset.
    """
    _check_names(plan)
    tensors: set[str] = set()
    for shard in plan.shards:
        header = shard_header(shard)
        if tensors & header.tensors.keys():
            raise UsageError(f"plan: {shard.name}: a tensor lies in another shard as well")
        tensors.update(header.tensors)
        _check_tensors(shard, header)
        _check_coverage(plan, shard)
    for copied in plan.copies:
        if not 0 <= copied.source < len(plan.sources):
            raise UsageError(f"plan: {copied.name}: source {copied.source} doesn't exist")


def shard_header(shard: ShardPlan) -> Header:
    """Parse a shard plan's header.

    Raises:
        UsageError: the header isn't a valid one for the shard's size.
    """
    try:
        size = header_size(shard.header[:LENGTH_BYTES], file_size=shard.size, origin=shard.name)
        if size != len(shard.header):
            raise UsageError(f"plan: {shard.name}: header length {size} isn't the header's")
        return parse_header(shard.header, file_size=shard.size, origin=shard.name)
    except CheckpointError as error:
        raise UsageError(f"plan: {error.message}") from None


def _check_names(plan: Plan) -> None:
    names = [*(s.name for s in plan.shards), *(t.name for t in plan.texts), *(c.name for c in plan.copies)]
    for name in names:
        if not is_plain_path(name) or name.startswith("."):
            raise UsageError(f"plan: output file name {name!r} is not a plain relative path")
    if len(set(names)) != len(names):
        raise UsageError("plan: two output files have the same name")
    located = {model for model, _ in plan.locations}
    for source in plan.sources:
        if not is_plain_path(source.path):
            raise UsageError(f"plan: source file name {source.path!r} is not a plain relative path")
        if source.model not in located:
            raise UsageError(f"plan: doesn't say where the model {source.model} lies")


def _check_coverage(plan: Plan, shard: ShardPlan) -> None:
    position = len(shard.header)
    for operation in shard.operations:
        if operation.offset != position or operation.length <= 0:
            raise UsageError(
                f"plan: {shard.name}: operations leave byte {position} "
                f"to {operation.offset} without exactly one origin"
            )
        position += operation.length
        if isinstance(operation, Gather) and not _is_sound(operation):
            raise UsageError(f"plan: {shard.name}: byte {operation.offset} gathers parts beyond their row")
        for source, offset, length in source_terms(operation):
            in_range = 0 <= source < len(plan.sources) and offset >= 0
            if not in_range or offset + length > plan.sources[source].size:
                raise UsageError(f"plan: {shard.name}: byte {operation.offset} reads beyond its source")
    if position != shard.size:
        raise UsageError(f"plan: {shard.name}: covers {position} bytes of {shard.size}")


def _is_sound(operation: Gather) -> bool:
    ends = [(number + 1) * operation.part for number in operation.parts]
    return operation.part > 0 and bool(ends) and max(ends) <= operation.row


def _check_tensors(shard: ShardPlan, header: Header) -> None:
    """Check that every operation makes elements of one tensor, whole ones where it computes them."""
    ordered = sorted((t for t in header.tensors.values() if t.length), key=lambda tensor: tensor.offset)
    starts = [tensor.offset for tensor in ordered]
    for operation in shard.operations:
        tensor = ordered[bisect_right(starts, operation.offset) - 1] if ordered else None
        if tensor is None or not _fits(operation, tensor):
            raise UsageError(
                f"plan: {shard.name}: byte {operation.offset}: the operation doesn't fit its tensor"
            )


def _fits(operation: Operation, tensor: TensorHeader) -> bool:
    if not tensor.offset <= operation.offset <= tensor.offset + tensor.length - operation.length:
        return False
    if isinstance(operation, Copy | Zero):
        return True
    if isinstance(operation, Constant):
        return _fits_constant(operation, tensor)
    if isinstance(operation, Gather):
        return True
    element = operation.target.bits // 8
    return (
        operation.target == tensor.dtype
        and all(dtype.is_plain_float for dtype in (operation.target, *(t.dtype for t in terms_of(operation))))
        and operation.length % element == 0
        and (operation.offset - tensor.offset) % element == 0
        and _is_computable(operation)
    )


def _is_computable(operation: Elementwise) -> bool:
    if isinstance(operation, AddLowRank):
        return _is_low_rank(operation)
    if isinstance(operation, Blend) and not 0 < len(operation.terms) == len(operation.weights):
        return False
    return operation.compute.is_plain_float


def _is_low_rank(operation: AddLowRank) -> bool:
    """Whether the matrices have a shape, the part lies within it, and products are exact in float64."""
    made = operation.length // (operation.target.bits // 8)
    return (
        operation.rank > 0
        and operation.skipped >= 0
        and operation.columns > 0
        and operation.skipped + made <= operation.rows * operation.columns
        and all(term.dtype in _EXACT_FACTORS for term in (operation.a, operation.b))
        and _is_length(operation)
        and math.isfinite(operation.scaling)
    )


def _is_length(operation: AddLowRank) -> bool:
    magnitude = operation.magnitude
    return magnitude is None or (not operation.transposed and magnitude.dtype in _EXACT_FACTORS)


def _fits_constant(operation: Constant, tensor: TensorHeader) -> bool:
    try:
        size = len(constant_element(operation.value, operation.target))
    except ValueError:
        return False
    whole = operation.length % size == 0 and (operation.offset - tensor.offset) % size == 0
    return operation.target == tensor.dtype and whole
