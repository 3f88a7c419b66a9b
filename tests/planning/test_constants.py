"""Tensors of one value: their bytes are those that torch would write, or there is no such plan."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import ArchitectureError, UsageError
from distexpand.formats.dtypes import DType
from distexpand.planning.check import check_plan
from distexpand.planning.operations import Constant, Zero, constant_element
from tests.planning.catalogs import LAYER, built, catalog_model, models_of
from tests.planning.test_resolving import operations

GAINED = {**LAYER, "layer_scalar": (1,)}


@given(st.floats(width=16, allow_nan=False), st.sampled_from([DType.F16, DType.F32, DType.F64]))
def test_what_fits_is_read_back(value: float, dtype: DType) -> None:
    code = {DType.F16: "<e", DType.F32: "<f", DType.F64: "<d"}[dtype]
    assert struct.unpack(code, constant_element(value, dtype)) == (value,)


@given(st.integers(0, 2**16 - 1))
def test_bfloat16_is_the_upper_half_of_float32(bits: int) -> None:
    raw = bits.to_bytes(2, "little")
    (value,) = struct.unpack("<f", bytes(2) + raw)
    if value == value:  # noqa: PLR0124  # no NaN
        assert constant_element(value, DType.BF16) == raw


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((0.1, dtype) for dtype in (DType.F16, DType.BF16, DType.F32, DType.U8)),
        *((1e300, dtype) for dtype in (DType.F16, DType.BF16, DType.F32, DType.U8)),
        (257.0, DType.BF16),
        (256.0, DType.U8),
        (-1.0, DType.U8),
        *((1.0, dtype) for dtype in (DType.I32, DType.F8_E4M3, DType.BOOL)),
    ],
)
def test_what_does_not_fit_is_refused(value: float, dtype: DType) -> None:
    with pytest.raises(ValueError, match="can't hold"):
        constant_element(value, dtype)


def test_identity_blocks_set_gains_to_one_in_the_output_dtype() -> None:
    models = models_of(catalog_model("a", layer=GAINED))
    recipe = "{model: a, block_expansion: {after: [1]}, dtype: float32}"
    plan = built(recipe, models).plan
    check_plan(plan)
    found = operations(plan)["model.layers.2.layer_scalar"]
    assert isinstance(found, Constant)
    assert (found.length, found.value, found.target) == (4, 1.0, DType.F32)
    assert not isinstance(operations(plan)["model.layers.1.layer_scalar"], Constant | Zero)


def test_a_gain_that_can_not_be_one_is_refused() -> None:
    models = models_of(catalog_model("a", layer=GAINED, dtypes={"layer_scalar": DType.I32}))
    with pytest.raises(ArchitectureError, match="would have to be 1 and isn't a plain float"):
        built("{model: a, block_expansion: {after: [1]}}", models)


@pytest.mark.parametrize("change", [{"value": 0.1}, {"target": DType.F32}, {"target": DType.I16}], ids=str)
def test_a_plan_whose_constant_is_no_value_of_its_tensor_is_refused(change: dict[str, object]) -> None:
    plan = built(
        "{model: a, block_expansion: {after: [1]}}", models_of(catalog_model("a", layer=GAINED))
    ).plan
    shard = plan.shards[0]
    wrong = tuple(replace(o, **change) if isinstance(o, Constant) else o for o in shard.operations)  # type: ignore[arg-type]
    assert wrong != shard.operations
    with pytest.raises(UsageError, match="doesn't fit its tensor"):
        check_plan(replace(plan, shards=(replace(shard, operations=wrong), *plan.shards[1:])))
