"""The safetensors header: parsed strictly, encoded canonically.

A file is eight bytes of header length (little endian), a JSON object, and the
tensors' data without gaps. Every rule that the format states is checked here
once, so that a catalog made from a header can be trusted: offsets inside the
file, no overlap, no hole, lengths that agree with dtype and shape.
Source: the format section of the safetensors README and its validation rules.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from distexpand.errors import CheckpointError
from distexpand.formats.dtypes import DType, dtype_named
from distexpand.formats.json_text import brief, load_json_object

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""Limit that the reference implementation sets, against absurd lengths."""

_MAX_COUNT = 2**63 - 1
"""Bound of every size, offset and element count, as in the reference implementation's integers."""

_KINDS_KEPT = 4096
"""Kinds of tensors that are remembered: hundreds of thousands of tensors are of a few dozen."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

_TENSOR_KEYS = {"dtype", "shape", "data_offsets"}


class TensorHeader(NamedTuple):
    """One tensor of a file; `offset` counts from the file's start, `length` is its bytes.

    A tuple, as a frozen dataclass takes three times as long to make, and there are hundreds of thousands.
    """

    dtype: DType
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header; `size` is its bytes with length prefix and padding."""

    size: int
    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorHeader]

    def in_order(self) -> list[str]:
        """Return the tensors' names in order of offset; an empty one before what lies at its place."""
        return sorted(self.tensors, key=lambda name: (self.tensors[name].offset, self.tensors[name].length))


def header_size(prefix: bytes, *, file_size: int, origin: str) -> int:
    """Return the header's bytes, prefix included, from a file's first eight bytes.

    Raises:
        CheckpointError: the file is too short, or the length is beyond it or absurd.
    """
    if len(prefix) < LENGTH_BYTES:
        raise CheckpointError(
            f"{origin}: {file_size} bytes is too short for a safetensors file",
            hint="The download was probably cut off; fetch the file again.",
        )
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{origin}: header length {length} is beyond the format's limit of {MAX_HEADER_BYTES} bytes",
            hint="The file is damaged or isn't a safetensors file.",
        )
    if LENGTH_BYTES + length > file_size:
        raise CheckpointError(
            f"{origin}: header of {length} bytes doesn't fit into a file of {file_size} bytes",
            hint="The download was probably cut off; fetch the file again.",
        )
    return LENGTH_BYTES + length


def parse_header(raw: bytes, *, file_size: int, origin: str) -> Header:
    """Parse a header given with its length prefix.

    Raises:
        CheckpointError: the header breaks a rule of the format; names file and tensor.
    """
    if raw[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{":
        raise CheckpointError(f"{origin}: the safetensors header doesn't begin with '{{'")
    document = load_json_object(raw[LENGTH_BYTES:], origin=f"{origin}: header")
    metadata = _parse_metadata(document.pop("__metadata__", None), origin)
    tensors = _parse_tensors(document, len(raw), origin)
    _check_contiguous(tensors, len(raw), file_size, origin)
    return Header(size=len(raw), metadata=metadata, tensors=tensors)


def encode_header(
    tensors: Iterable[tuple[str, DType, tuple[int, ...]]],
    metadata: Mapping[str, str],
    *,
    alignment: int = LENGTH_BYTES,
    remainder: int = 0,
) -> bytes:
    """Return the header with length prefix, padded with spaces so that data begins where it should.

    Args:
        tensors: name, dtype and shape in order of offset.
        metadata: the `__metadata__` entries.
        alignment: bytes; the data's first offset is a multiple of it, plus `remainder`.
        remainder: bytes.
    """
    members = [f'"__metadata__":{_encode(dict(sorted(metadata.items())))}'] if metadata else []
    position = 0
    for name, dtype, shape in tensors:
        kind, length = _kind_text(dtype, shape)
        members.append(f'{_encode(name)}:{{{kind},"data_offsets":[{position},{position + length}]}}')
        position += length
    text = f"{{{','.join(members)}}}".encode()
    padding = (remainder - LENGTH_BYTES - len(text)) % alignment
    return (len(text) + padding).to_bytes(LENGTH_BYTES, "little") + text + b" " * padding


@lru_cache(maxsize=_KINDS_KEPT)
def tensor_bytes(dtype: DType, shape: tuple[int, ...]) -> int:
    """Return the bytes of a tensor; packed dtypes have to fill whole bytes.

    Raises:
        CheckpointError: the elements don't fill whole bytes.
    """
    bits = math.prod(shape) * dtype.bits
    if bits % 8:
        raise CheckpointError(f"{dtype.value} tensor of shape {brief(list(shape))} doesn't fill whole bytes")
    return bits // 8


@lru_cache(maxsize=_KINDS_KEPT)
def _kind_text(dtype: DType, shape: tuple[int, ...]) -> tuple[str, int]:
    """Return how a header says dtype and shape, and the bytes."""
    return f'"dtype":"{dtype.value}","shape":{_encode(list(shape))}', tensor_bytes(dtype, shape)


def _parse_metadata(entry: Any, origin: str) -> dict[str, str]:
    if entry is None:
        return {}
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise CheckpointError(f"{origin}: header: __metadata__ has to map text to text")
    return entry


def _parse_tensors(document: dict[str, Any], data_start: int, origin: str) -> dict[str, TensorHeader]:
    """Parse every tensor's entry; what is shown in an error is put together only then."""
    tensors, name = {}, ""
    try:
        for name, entry in document.items():  # the error names it
            tensors[name] = _tensor_header(entry, data_start)
    except CheckpointError as error:
        raise CheckpointError(f"{origin}: tensor {brief(name)}: {error.message}") from None
    return tensors


def _tensor_header(entry: Any, data_start: int) -> TensorHeader:
    if not isinstance(entry, dict) or entry.keys() != _TENSOR_KEYS:
        raise CheckpointError("expected exactly dtype, shape and data_offsets")
    shape = _sizes(entry["shape"], "shape")
    dtype, expected = _kind(entry["dtype"] if isinstance(entry["dtype"], str) else "", shape)
    if dtype is None:
        raise CheckpointError(
            f"unknown dtype {brief(entry['dtype'])}; known are {', '.join(d.value for d in DType)}"
        )
    offsets = _sizes(entry["data_offsets"], "data_offsets")
    if len(offsets) != 2 or offsets[1] - offsets[0] != expected:  # noqa: PLR2004
        raise _wrong_offsets(offsets, dtype, shape, expected)
    return TensorHeader(dtype, shape, data_start + offsets[0], expected)


def _wrong_offsets(
    offsets: tuple[int, ...], dtype: DType, shape: tuple[int, ...], expected: int
) -> CheckpointError:
    if len(offsets) != 2 or offsets[0] > offsets[1]:  # noqa: PLR2004
        return CheckpointError(f"data_offsets {brief(list(offsets))} are not a begin and an end")
    return CheckpointError(
        f"{dtype.value} of shape {brief(list(shape))} has {expected} bytes, "
        f"its data_offsets hold {offsets[1] - offsets[0]}"
    )


@lru_cache(maxsize=_KINDS_KEPT)
def _kind(dtype_name: str, shape: tuple[int, ...]) -> tuple[DType | None, int]:
    """Return dtype and bytes; a model has few kinds of tensors and perhaps very many of each."""
    dtype = dtype_named(dtype_name)
    if dtype is None:
        return None, 0
    _check_elements(shape)
    return dtype, tensor_bytes(dtype, shape)


def _sizes(value: Any, what: str) -> tuple[int, ...]:
    """Return a list of sizes; a plain loop, as there are two lists in every tensor's entry."""
    if isinstance(value, list):
        for item in value:
            if type(item) is not int or not 0 <= item <= _MAX_COUNT:
                break
        else:
            return tuple(value)
    raise CheckpointError(
        f"{what}: expected a list of whole numbers from 0 to {_MAX_COUNT}, found {brief(value)}"
    )


def _check_elements(shape: tuple[int, ...]) -> None:
    """Refuse a shape whose product overflows in other readers, before the product gets costly here."""
    elements = 1
    for size in shape:
        elements *= size
        if elements > _MAX_COUNT:
            raise CheckpointError(f"shape: {brief(list(shape))} has more elements than any file can hold")


def _check_contiguous(
    tensors: Mapping[str, TensorHeader], data_start: int, file_size: int, origin: str
) -> None:
    position = data_start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].length)):
        if tensor.offset != position:
            kind = "overlaps the tensor before it" if tensor.offset < position else "leaves a gap before it"
            raise CheckpointError(f"{origin}: tensor {brief(name)} {kind}, at byte {tensor.offset}")
        position += tensor.length
        if position > file_size:
            raise CheckpointError(
                f"{origin}: tensor {brief(name)} ends at byte {position}, the file at {file_size}",
                hint="The shard is truncated; fetch the file again.",
            )
    if position != file_size:
        raise CheckpointError(f"{origin}: {file_size - position} bytes after the last tensor")
