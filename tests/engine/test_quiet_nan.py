"""NaNs: every one of a dtype gets the same bits, whatever its sign and payload, and nothing else changes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")

from distexpand.engine.quiet_nan import nan_bits, settle_nan  # noqa: E402
from distexpand.engine.torch_library import torch_dtype  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from tests.engine.shards import FLOATS  # noqa: E402

MANTISSA = {DType.F16: 10, DType.BF16: 7, DType.F32: 23, DType.F64: 52}


def is_nan(bits: int, dtype: DType) -> bool:
    """Tell by the format's definition: the exponent's bits all ones, the mantissa's not all zeros."""
    mantissa = (1 << MANTISSA[dtype]) - 1
    exponent = (1 << (dtype.bits - 1)) - 1 - mantissa
    return bits & exponent == exponent and bits & mantissa != 0


def patterns(dtype: DType) -> st.SearchStrategy[list[int]]:
    """Return lists of bits, most of them close to where numbers end and NaNs begin."""
    sign, infinity = 1 << (dtype.bits - 1), (1 << (dtype.bits - 1)) - (1 << MANTISSA[dtype])
    near = st.integers(-2, 2).map(lambda distance: infinity + distance)
    largest = st.integers(sign - 2, sign - 1)
    magnitudes = near | largest | st.integers(0, sign - 1)
    return st.lists(st.tuples(magnitudes, st.sampled_from([0, sign])).map(sum), min_size=1, max_size=40)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.value)
@given(st.data())
def test_each_nan_becomes_the_one(dtype: DType, data: st.DataObject) -> None:
    bits = data.draw(patterns(dtype))
    size = dtype.bits // 8
    raw = bytearray(b"".join(value.to_bytes(size, "little") for value in bits))
    settle_nan(torch.frombuffer(raw, dtype=torch_dtype(dtype)), dtype)
    found = [int.from_bytes(raw[start : start + size], "little") for start in range(0, len(raw), size)]
    assert found == [nan_bits(dtype) if is_nan(value, dtype) else value for value in bits]


@given(st.integers(0, 2**16 - 1), st.sampled_from([DType.F16, DType.BF16]))
@example(0x7F80, DType.BF16)
@example(0xFF80, DType.BF16)
@example(0xFFFF, DType.BF16)
@example(0x7C01, DType.F16)
@example(0xFC00, DType.F16)
def test_torch_calls_the_same_ones_nan(bits: int, dtype: DType) -> None:
    raw = bytearray(bits.to_bytes(2, "little"))
    assert torch.isnan(torch.frombuffer(raw, dtype=torch_dtype(dtype))).item() == is_nan(bits, dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.value)
@given(st.integers(1, 5000), st.data())
def test_a_single_one_is_found_wherever_it_is(dtype: DType, count: int, data: st.DataObject) -> None:
    place, sign = (
        data.draw(st.integers(0, count - 1)),
        data.draw(st.sampled_from([0, -1 << (dtype.bits - 1)])),
    )
    other = (1 << (dtype.bits - 1)) - (1 << MANTISSA[dtype]) + 1
    values = torch.linspace(-3, 5, count, dtype=torch.float64).to(torch_dtype(dtype))
    bits = values.view(getattr(torch, f"int{dtype.bits}"))
    bits[place] = sign | other
    expected = bits.clone()
    expected[place] = nan_bits(dtype)
    settle_nan(values, dtype)
    assert torch.equal(bits, expected)


def test_what_cancels_or_overflows_is_no_nan() -> None:
    for values in ([float("inf"), -float("inf"), 1.0], [3e38] * 40 + [-3e38] * 80):
        found = torch.tensor(values)
        settle_nan(found, DType.F32)
        assert found.tolist() == torch.tensor(values).tolist()
