"""The options `dtype` and `out_dtype`, the same in every dialect."""

from collections.abc import Mapping

from distexpand.formats.dtypes import DType, float_dtype, float_dtype_names
from distexpand.recipe.located import Located

_SHORT = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "float": "float32",
    "fp64": "float64",
}


def parse_dtype(found: Mapping[str, Located], key: str) -> DType | None:
    """Read the dtype under `key`, `None` if it isn't there."""
    place = found.get(key)
    if place is None:
        return None
    dtype = float_dtype(place.value) if isinstance(place.value, str) else None
    if dtype is None:
        meant = _SHORT.get(place.value) if isinstance(place.value, str) else None
        asked = f"; did you mean `{meant}`?" if meant else ""
        raise place.wrong(f"one of {', '.join(float_dtype_names())}{asked}")
    return dtype
