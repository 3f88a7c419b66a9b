"""Operations as short lists, since a plan of a large stack holds hundreds of thousands of them."""

from typing import Any

from distexpand.formats.dtypes import DType
from distexpand.planning.codec.values import number, whole
from distexpand.planning.operations import (
    AddLowRank,
    Blend,
    Constant,
    Copy,
    Elementwise,
    Gather,
    Operation,
    Scale,
    Term,
    Zero,
)


def encode_operation(operation: Operation) -> list[Any]:
    """Return an operation as a short list."""
    match operation:
        case Copy():
            return ["copy", operation.offset, operation.length, operation.source, operation.source_offset]
        case Zero():
            return ["zero", operation.offset, operation.length]
        case Constant():
            return ["constant", operation.offset, operation.length, operation.value, operation.target.value]
        case Gather():
            return [
                "gather",
                operation.offset,
                operation.length,
                operation.source,
                operation.source_offset,
                operation.row,
                operation.part,
                list(operation.parts),
                operation.skipped,
            ]
        case Scale() | Blend() | AddLowRank():
            return _encode_elementwise(operation)


def _encode_elementwise(operation: Elementwise) -> list[Any]:
    match operation:
        case Scale():
            return [
                "scale",
                operation.offset,
                operation.length,
                _encode_term(operation.term),
                operation.factor,
                operation.compute.value,
                operation.target.value,
            ]
        case Blend():
            return [
                "blend",
                operation.offset,
                operation.length,
                [_encode_term(term) for term in operation.terms],
                list(operation.weights),
                operation.normalize,
                operation.compute.value,
                operation.target.value,
            ]
        case AddLowRank():
            return [
                "add_low_rank",
                operation.offset,
                operation.length,
                [_encode_term(term) for term in (operation.term, operation.a, operation.b)],
                [operation.rows, operation.columns, operation.rank],
                operation.scaling,
                operation.target.value,
                operation.transposed,
                operation.skipped,
                *([] if operation.magnitude is None else [_encode_term(operation.magnitude)]),
            ]


def decode_operation(entry: list[Any]) -> Operation:
    """Return the operation that a list stands for.

    Raises:
        TypeError: a value is of the wrong kind.
        ValueError: not an operation.
    """
    kind, offset, length, *rest = entry
    offset, length = whole(offset), whole(length)
    match kind, rest:
        case "copy", [source, source_offset]:
            return Copy(
                offset=offset, length=length, source=whole(source), source_offset=whole(source_offset)
            )
        case "zero", []:
            return Zero(offset=offset, length=length)
        case "constant", [value, target]:
            return Constant(offset=offset, length=length, value=number(value), target=DType(target))
        case "gather", [source, source_offset, row, part, parts, skipped]:
            return Gather(
                offset=offset,
                length=length,
                source=whole(source),
                source_offset=whole(source_offset),
                row=whole(row),
                part=whole(part),
                parts=tuple(whole(number) for number in parts),
                skipped=whole(skipped),
            )
        case _:
            return _decode_elementwise(kind, offset, length, rest)


def _decode_elementwise(kind: Any, offset: int, length: int, rest: list[Any]) -> Elementwise:
    match kind, rest:
        case "scale", [term, factor, compute, target]:
            return Scale(
                offset=offset,
                length=length,
                term=_decode_term(term),
                factor=number(factor),
                compute=DType(compute),
                target=DType(target),
            )
        case "blend", [terms, weights, bool(normalize), compute, target]:
            return Blend(
                offset=offset,
                length=length,
                terms=tuple(_decode_term(term) for term in terms),
                weights=tuple(number(weight) for weight in weights),
                normalize=normalize,
                compute=DType(compute),
                target=DType(target),
            )
        case "add_low_rank", [
            [term, a, b],
            [rows, columns, rank],
            scaling,
            target,
            bool(transposed),
            skipped,
            *magnitude,
        ]:
            return AddLowRank(
                offset=offset,
                length=length,
                term=_decode_term(term),
                a=_decode_term(a),
                b=_decode_term(b),
                rows=whole(rows),
                columns=whole(columns),
                rank=whole(rank),
                scaling=number(scaling),
                target=DType(target),
                transposed=transposed,
                skipped=whole(skipped),
                magnitude=_decode_magnitude(magnitude),
            )
        case _:
            raise ValueError(kind)


def _decode_magnitude(entries: list[Any]) -> Term | None:
    if not entries:
        return None
    (entry,) = entries
    return _decode_term(entry)


def _encode_term(term: Term) -> list[Any]:
    return [term.source, term.source_offset, term.dtype.value]


def _decode_term(entry: list[Any]) -> Term:
    source, source_offset, dtype = entry
    return Term(source=whole(source), source_offset=whole(source_offset), dtype=DType(dtype))
