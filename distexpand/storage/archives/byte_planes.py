"""Byte planes: the bytes of equal weight of every element together, the sign moved out of the way.

A float's sign and mantissa are noise, its exponent isn't. Each element is
rotated left by one bit, so that exponents of eight bits (BF16, F32) fill the
highest byte alone and the sign joins the mantissa's end, and then its bytes go
to as many planes. Measured on SmolLM2: the highest plane shrinks by 66.7%,
without the rotation by 65.6%.

numpy does it at memory speed and without the interpreter's lock. Where it
isn't installed, slices and long integers do the same at a tenth of the speed.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

Bytes: TypeAlias = bytes | bytearray | memoryview

_STRIP_BYTES = 1 << 20
"""Taken through all steps at once, so that it stays in the processor's cache."""

_SHIFTED = bytes(value << 1 & 0xFF for value in range(256))
_TOP_BIT = bytes(value >> 7 for value in range(256))
_UNSHIFTED = bytes(value >> 1 for value in range(256))
_LOW_BIT = bytes((value & 1) << 7 for value in range(256))


def split_planes(raw: Bytes, width: int) -> list[Bytes]:
    """Return the planes of elements of `width` bytes (2 or 4, little-endian), the highest first."""
    numpy = _numpy()
    return _split_plainly(raw, width) if numpy is None else _split(numpy, raw, width)


def join_planes(planes: Sequence[Bytes]) -> Bytes:
    """Return the elements of planes as `split_planes` returned them."""
    numpy = _numpy()
    return _join_plainly(planes) if numpy is None else _join(numpy, planes)


def _split(numpy: Any, raw: Bytes, width: int) -> list[Bytes]:
    elements = numpy.frombuffer(raw, dtype=f"<u{width}")
    planes = [numpy.empty(len(elements), dtype=numpy.uint8) for _ in range(width)]
    for begin in range(0, len(elements), _STRIP_BYTES // width):
        strip = elements[begin : begin + _STRIP_BYTES // width]
        rotated = strip << 1
        rotated |= strip >> (8 * width - 1)
        for plane in reversed(planes):
            plane[begin : begin + len(strip)] = rotated  # keeps the lowest byte
            rotated >>= 8
    return [plane.data for plane in planes]


def _join(numpy: Any, planes: Sequence[Bytes]) -> Bytes:
    width = len(planes)
    parts = [numpy.frombuffer(plane, dtype=numpy.uint8) for plane in planes]
    elements = numpy.empty(len(parts[0]), dtype=f"<u{width}")
    for begin in range(0, len(elements), _STRIP_BYTES // width):
        strip = elements[begin : begin + _STRIP_BYTES // width]
        strip[:] = parts[0][begin : begin + len(strip)]
        for part in parts[1:]:
            strip <<= 8
            strip |= part[begin : begin + len(strip)]
        sign = strip << (8 * width - 1)
        strip >>= 1
        strip |= sign
    raw: memoryview = elements.view(numpy.uint8).data
    return raw


def _split_plainly(raw: Bytes, width: int) -> list[Bytes]:
    planes = [bytes(raw[place::width]) for place in reversed(range(width))]
    below = [*planes[1:], planes[0]]
    return [
        _either(plane.translate(_SHIFTED), other.translate(_TOP_BIT))
        for plane, other in zip(planes, below, strict=True)
    ]


def _join_plainly(planes: Sequence[Bytes]) -> Bytes:
    width = len(planes)
    rotated = [bytes(plane) for plane in planes]
    above = [rotated[-1], *rotated[:-1]]
    raw = bytearray(width * len(rotated[0]))
    for place, plane, other in zip(reversed(range(width)), rotated, above, strict=True):
        raw[place::width] = _either(plane.translate(_UNSHIFTED), other.translate(_LOW_BIT))
    return raw


def _either(first: bytes, other: bytes) -> bytes:
    """Return two byte strings of one length, or-ed."""
    both = int.from_bytes(first, "little") | int.from_bytes(other, "little")
    return both.to_bytes(len(first), "little")


@cache
def _numpy() -> Any:
    try:
        return import_module("numpy")
    except ImportError:
        return None
