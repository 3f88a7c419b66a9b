"""Values out of a plan's JSON, each checked for its kind: a plan is input like any other."""

import math
from typing import Any


def text(value: Any) -> str:
    """Return a text.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value


def whole(value: Any) -> int:
    """Return a whole number from 0.

    Raises:
        TypeError: it is something else.
    """
    if type(value) is not int or value < 0:
        raise TypeError(f"expected a whole number from 0, found {value!r}")
    return value


def number(value: Any) -> float:
    """Return a finite number.

    Raises:
        TypeError: it is something else.
        ValueError: it is a whole number beyond every float.
    """
    try:
        found = float(value) if type(value) in {int, float} else math.nan
    except OverflowError:
        raise ValueError("expected a number that a float can hold") from None
    if not math.isfinite(found):
        raise TypeError(f"expected a finite number, found {value!r}")
    return found
