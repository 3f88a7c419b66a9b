"""The options `dtype` and `out_dtype`, the same in every dialect."""

from collections.abc import Mapping

from distexpand.formats.dtypes import DType, float_dtype, float_dtype_names
from distexpand.recipe.located import Located


def parse_dtype(found: Mapping[str, Located], key: str) -> DType | None:
    """Read the dtype under `key`, `None` if it isn't there."""
    place = found.get(key)
    if place is None:
        return None
    dtype = float_dtype(place.value) if isinstance(place.value, str) else None
    if dtype is None:
        raise place.wrong(f"one of {', '.join(float_dtype_names())}")
    return dtype
