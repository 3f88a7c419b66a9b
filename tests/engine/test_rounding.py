"""Rounding once: to the nearest of exact fractions, also where float32 in between would go wrong."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.engine.rounding import rounded_once  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from distexpand.verifying.plain import _nearest  # noqa: E402
from tests.engine.matrices import PLACES, torch_name  # noqa: E402

LARGEST = {DType.F16: 65504.0, DType.BF16: 3.3895313892515355e38, DType.F32: 3.4028234663852886e38}


def nearest(value: float, dtype: DType) -> float:
    """Return the closest number of the dtype, by fractions; of two the one that ends in 0."""
    if not math.isfinite(value) or value == 0:
        return value
    digits, least = PLACES[dtype]
    unit = Fraction(2) ** max(math.frexp(value)[1] - digits, least)
    found = round(Fraction(value) / unit) * unit
    return math.copysign(math.inf if abs(found) > LARGEST[dtype] else float(found), value)


@st.composite
def close_to_the_middle(draw: st.DrawFn) -> float:
    """Return numbers at, or a little beside, the middle between two of a 16-bit dtype."""
    bits = draw(st.integers(0, 2**12)) / 2 ** draw(st.integers(0, 12))
    scale = draw(st.sampled_from([1.0, 2.0**-14, 2.0**-24, 2.0**15, 2.0**-126, 2.0**-133, 2.0**127]))
    beside = draw(st.sampled_from([0.0, 2.0**-52, -(2.0**-52), 2.0**-30, -(2.0**-30), 2.0**-25]))
    return bits * scale * (1 + beside) * draw(st.sampled_from([1, -1]))


@given(st.floats() | close_to_the_middle(), st.sampled_from(list(PLACES)))
@example(1 + 2.0**-8 + 2.0**-40, DType.BF16)
@example(1 + 3 * 2.0**-8 - 2.0**-40, DType.BF16)
@example(65520.0, DType.F16)
@example(65519.999999999, DType.F16)
@example(-1e-320, DType.BF16)
@example(2.0**-134 * (1 + 2.0**-50), DType.BF16)
def test_it_is_the_nearest(value: float, dtype: DType) -> None:
    expected = torch.tensor(nearest(value, dtype), dtype=torch.float64).to(torch_name(dtype))
    given_value = torch.tensor([value], dtype=torch.float64)
    for found in (rounded_once(given_value, dtype), _nearest(given_value, dtype).to(torch_name(dtype))):
        assert torch.equal(torch.isnan(found[0]), torch.isnan(expected))
        assert math.isnan(value) or found[0] == expected
        assert math.isnan(value) or torch.signbit(found[0]) == torch.signbit(expected)


def test_torch_would_round_twice() -> None:
    """Why there is a rounding of our own; should torch learn it, then it can go."""
    value = torch.tensor([1 + 2.0**-8 + 2.0**-40], dtype=torch.float64)
    assert value.to(torch.bfloat16).item() == 1
    assert rounded_once(value, DType.BF16).item() == 1 + 2.0**-7
