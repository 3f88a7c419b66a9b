"""Headers and whole files for tests: any valid ones by hypothesis, broken ones from literal text."""

import json
import math
from typing import Any

from hypothesis import strategies as st

from distexpand.formats.dtypes import DType
from distexpand.formats.header import encode_header, header_size, parse_header

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda n: n != "__metadata__")


@st.composite
def tensor_lists(draw: st.DrawFn) -> list[tuple[str, DType, tuple[int, ...]]]:
    """Tensors of every dtype, scalars and empty ones among them; packed ones fill whole bytes."""
    result = []
    for name in draw(st.lists(names, unique=True, max_size=6)):
        dtype = draw(st.sampled_from(DType))
        shape = draw(st.lists(st.integers(0, 5), max_size=3))
        if math.prod(shape) * dtype.bits % 8:
            shape.append(4)
        result.append((name, dtype, tuple(shape)))
    return result


metadata = st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=3)


def data_bytes(tensors: list[tuple[str, DType, tuple[int, ...]]]) -> int:
    return sum(math.prod(shape) * dtype.bits for _, dtype, shape in tensors) // 8


def file_of(text: bytes, data: bytes = b"") -> bytes:
    """Return a file of literal header text, with the length that it truly has."""
    return len(text).to_bytes(8, "little") + text + data


def file_with(tensors: dict[str, Any], data: bytes = b"") -> bytes:
    return file_of(json.dumps(tensors).encode(), data)


def valid_file(tensors: list[tuple[str, DType, tuple[int, ...]]], values: dict[str, str]) -> bytes:
    return encode_header(tensors, values) + bytes(data_bytes(tensors))


def parse_file(raw: bytes) -> Any:
    """Parse a file's header as intake does: the prefix first, then exactly that many bytes."""
    size = header_size(raw[:8], file_size=len(raw), origin="shard.safetensors")
    return parse_header(raw[:size], file_size=len(raw), origin="shard.safetensors")
