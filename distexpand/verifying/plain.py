"""What an operation should give, computed plainly: read, one torch expression, bytes.

Shares nothing with the engine's reading, cutting and transforming, so that it finds the
engine's errors too: ranges are read whole (holes as the zeros that they read as), and a
transform is the expression that its operation states. As that is elementwise, a part of
an operation is the same expression on a part of its sources, and of whole rows of thin matrices.
"""

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from distexpand.engine.torch_library import require_numpy, require_torch
from distexpand.formats.dtypes import DType
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Gather,
    Operation,
    Scale,
    Term,
    Zero,
)
from distexpand.storage.ranges import RangeReader

STEP_BYTES = 1024 * 1024
"""Bytes of a transform's output computed at a time by `fill_plain`; bounds its memory."""

_DIGITS = {DType.F16: (11, -24), DType.BF16: (8, -133), DType.F32: (24, -149)}
"""Binary digits of a number, and the power of two that its last one is worth at least."""

_FLOAT_OF_SIZE = {2: "<e", 4: "<f", 8: "<d"}


def plain_bytes(operation: Operation, readers: Sequence[RangeReader]) -> bytes:
    """Return all bytes of an operation, computed at once."""
    return _part(operation, 0, operation.length, readers)


def fill_plain(operation: Operation, start: int, target: memoryview, readers: Sequence[RangeReader]) -> None:
    """Fill `target` with the operation's output from its byte `start`, which begins an element."""
    if isinstance(operation, Copy):
        readers[operation.source].read_into(operation.source_offset + start, target)
        return
    for done in range(0, len(target), STEP_BYTES):
        step = target[done : done + STEP_BYTES]
        step[:] = _part(operation, start + done, len(step), readers)


def _part(operation: Operation, start: int, length: int, readers: Sequence[RangeReader]) -> bytes:
    match operation:
        case Zero():
            return bytes(length)
        case Constant():
            return _constant(operation, start, length)
        case Copy():
            raw = bytearray(length)
            readers[operation.source].read_into(operation.source_offset + start, memoryview(raw))
            return bytes(raw)
        case Gather():
            return _gathered(operation, start, length, readers)
        case Scale() | Blend():
            size = operation.target.bits // 8
            first, count = start // size, length // size
            if isinstance(operation, Scale):
                values = _scaled(operation, _elements(operation.term, first, count, readers))
            else:
                terms = [_elements(term, first, count, readers) for term in operation.terms]
                values = _blended(operation, terms)
            return _raw(values, operation.target)
        case AddLowRank():
            size = operation.target.bits // 8
            values = _low_rank(operation, start // size, length // size, readers)
            return _raw(_nearest(values, operation.target), operation.target)


def _constant(operation: Constant, start: int, length: int) -> bytes:
    """Return a part of a constant, from the bits of one element."""
    size = operation.target.bits // 8
    if operation.target is DType.BF16:
        bits = int.from_bytes(struct.pack("<f", operation.value), "little") >> 16
    elif operation.target is DType.U8:
        bits = round(operation.value)
    else:
        bits = int.from_bytes(struct.pack(_FLOAT_OF_SIZE[size], operation.value), "little")
    whole = bits.to_bytes(size, "little") * (length // size + 2)
    return whole[start % size : start % size + length]


def _gathered(operation: Gather, start: int, length: int, readers: Sequence[RangeReader]) -> bytes:
    """Return a part of gathered rows, part by part."""
    size, width = operation.part, len(operation.parts)
    begin = operation.skipped + start
    made = bytearray()
    for number in range(begin // size, -(-(begin + length) // size)):
        row, column = divmod(number, width)
        offset = operation.source_offset + row * operation.row + operation.parts[column] * size
        raw = bytearray(size)
        readers[operation.source].read_into(offset, memoryview(raw))
        made += raw
    return bytes(made[begin % size : begin % size + length])


def _elements(term: Term, first: int, count: int, readers: Sequence[RangeReader]) -> Any:
    size = term.dtype.bits // 8
    raw = bytearray(count * size)
    readers[term.source].read_into(term.source_offset + first * size, memoryview(raw))
    return require_torch().frombuffer(raw, dtype=_torch_dtype(term.dtype))


def _scaled(operation: Scale, values: Any) -> Any:
    value = values.to(_torch_dtype(operation.compute))
    return value if operation.factor == 1 else value * operation.factor


def _blended(operation: Blend, terms: Sequence[Any]) -> Any:
    torch = require_torch()
    compute = _torch_dtype(operation.compute)
    wide = torch.float64 if operation.compute is DType.F64 else torch.float32
    weights = torch.tensor(operation.weights, dtype=wide)
    values = [term.to(compute).to(wide) for term in terms]
    total = torch.zeros_like(values[0])
    for value, weight in zip(values, weights, strict=True):
        total = (total.double() + value.double() * weight.double()).to(wide)
    return (total / weights.sum() if operation.normalize else total).to(compute)


def _low_rank(operation: AddLowRank, first: int, count: int, readers: Sequence[RangeReader]) -> Any:
    """Return elements in float64, from the whole rows that they lie in."""
    if operation.magnitude is not None:
        return _of_length(operation, operation.magnitude, first, count, readers)
    torch = require_torch()
    rows, columns, rank = operation.rows, operation.columns, operation.rank
    begin = operation.skipped + first
    top, bottom = begin // columns, -(-(begin + count) // columns)
    if operation.transposed:
        left = _elements(operation.a, 0, rank * rows, readers).view(rank, rows).T[top:bottom]
        right = _elements(operation.b, 0, columns * rank, readers).view(columns, rank).T
    else:
        left = _elements(operation.b, top * rank, (bottom - top) * rank, readers).view(bottom - top, rank)
        right = _elements(operation.a, 0, rank * columns, readers).view(rank, columns)
    total = torch.zeros(bottom - top, columns, dtype=torch.float64)
    for number in range(rank):
        total += left[:, number, None].double() * right[None, number].double()
    delta = total.flatten()[begin - top * columns :][:count] * operation.scaling + 0
    return _elements(operation.term, first, count, readers).double() + delta


def _of_length(
    operation: AddLowRank, magnitude: Term, first: int, count: int, readers: Sequence[RangeReader]
) -> Any:
    """Return elements of rows that are brought to a length, from the whole rows without it."""
    columns = operation.columns
    begin = operation.skipped + first
    top, bottom = begin // columns, -(-(begin + count) // columns)
    whole = replace(operation, magnitude=None)
    rows = _low_rank(whole, top * columns - operation.skipped, (bottom - top) * columns, readers)
    rows = rows.view(bottom - top, columns)
    torch, numpy = require_torch(), require_numpy()
    squares = torch.zeros(bottom - top, dtype=rows.dtype)
    for column in range(columns):
        squares += rows[:, column] * rows[:, column]
    wanted = _elements(magnitude, top, bottom - top, readers).double()
    lengths = torch.from_numpy(numpy.sqrt(squares.numpy()))  # torch's own isn't always rounded to the nearest
    made = rows * (wanted / lengths)[:, None]
    return made.flatten()[begin - top * columns :][:count]


def _nearest(values: Any, dtype: DType) -> Any:
    """Round float64 to whole multiples of what the last place of the dtype is worth there, ties to even."""
    if dtype is DType.F64:
        return values
    torch = require_torch()
    digits, least = _DIGITS[dtype]
    exponent = torch.frexp(values).exponent.long() - digits
    unit = ((exponent.clamp(min=least) + 1023) << 52).view(torch.float64)
    return (values / unit).round() * unit


def _raw(values: Any, dtype: DType) -> bytes:
    """Return the values' bytes in a dtype, each NaN as the dtype's quiet one."""
    torch = require_torch()
    target = _torch_dtype(dtype)
    result = values.to(target).contiguous()
    whole = getattr(torch, f"int{dtype.bits}")
    quiet = torch.tensor(float("nan"), dtype=target).view(whole)
    raw: bytes = torch.where(torch.isnan(result), quiet, result.view(whole)).numpy().tobytes()
    return raw


def _torch_dtype(dtype: DType) -> Any:
    return getattr(require_torch(), dtype.torch_name or "")
