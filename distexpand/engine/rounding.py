"""Rounding from float64 to a narrower dtype at once, to the nearest, ties to even.

torch casts float64 to the 16-bit dtypes by way of float32, and a number close to the middle
between two of them may be rounded onto the middle first and then to the wrong side.
"""

from typing import Any

from distexpand.engine.torch_library import require_torch, torch_dtype
from distexpand.formats.dtypes import DType


def rounded_once(values: Any, dtype: DType) -> Any:
    """Return float64 values in a plain float dtype."""
    if dtype in {DType.F32, DType.F64}:
        return values.to(torch_dtype(dtype))
    return _to_odd(values).to(torch_dtype(dtype))


def _to_odd(values: Any) -> Any:
    """Return the float32 next to each value of which the last bit is 1, and the value itself where it is one.

    What lies between two neighbours can't end on the middle between two 16-bit numbers so:
    that is a float32 whose last bit is 0.
    """
    torch = require_torch()
    single = values.float()
    nearest, bits = single.double().abs(), single.view(torch.int32)
    even = (bits & 1) == 0
    bits += (even & (nearest < values.abs())).int() - (even & (nearest > values.abs())).int()
    return single
