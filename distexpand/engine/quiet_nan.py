"""One NaN for each dtype: what a transform leaves wherever its result is not a number.

Which of a dtype's many NaNs an instruction makes differs between processors, and between a
vector instruction and the loop for the rest, so the bits would tell where a tensor was cut.
Hardly any weights hold one, so what has to be cheap is to find that there is none: a sum is
NaN if any of its terms is. (It is as well where infinities cancel, or sums so large that they
become infinite; then every number is looked at in vain.) Rejected: torch's `amax` and `isnan`,
which take longer on bfloat16 than the arithmetic that they check.
"""

from functools import cache
from typing import Any

from distexpand.engine.torch_library import require_torch
from distexpand.formats.dtypes import DType

_NAN_BITS = {
    DType.F16: 0x7E00,
    DType.BF16: 0x7FC0,
    DType.F32: 0x7FC0_0000,
    DType.F64: 0x7FF8_0000_0000_0000,
}
_INFINITY_BITS = {
    DType.F16: 0x7C00,
    DType.BF16: 0x7F80,
    DType.F32: 0x7F80_0000,
    DType.F64: 0x7FF0_0000_0000_0000,
}


def nan_bits(dtype: DType) -> int:
    """Return the bits of the only NaN that a transform writes, as a whole number of the dtype's size."""
    return _NAN_BITS[dtype]


def settle_nan(values: Any, dtype: DType) -> None:
    """Give every NaN of a contiguous tensor of a plain float dtype the same bits, in place."""
    if require_torch().isnan(values.sum()):
        bits = values.view(_whole_number(dtype))
        magnitudes = bits & ((1 << (dtype.bits - 1)) - 1)
        bits.masked_fill_(magnitudes > _INFINITY_BITS[dtype], nan_bits(dtype))


@cache
def _whole_number(dtype: DType) -> Any:
    return getattr(require_torch(), f"int{dtype.bits}")
