"""Rules on quantised weights: all of a weight is copied or made zero, anything else is refused."""

import pytest

from distexpand.errors import RecipeError
from distexpand.formats.dtypes import DType
from distexpand.planning.check import check_plan
from distexpand.planning.codec.plans import decode_plan, encode_plan
from distexpand.planning.operations import Constant, Copy, Zero
from distexpand.planning.sources import SourceModel
from tests.planning.catalogs import LAYER, built, catalog_model, models_of
from tests.planning.test_resolving import operations, stacked

GPTQ = {"qweight": DType.I32, "qzeros": DType.I32, "scales": DType.F16}
NF4 = {
    "weight": DType.U8,
    "weight.absmax": DType.U8,
    "weight.nested_absmax": DType.F32,
    "weight.nested_quant_map": DType.F32,
    "weight.quant_map": DType.F32,
    "weight.quant_state.bitsandbytes__nf4": DType.U8,
}
FP8 = {"weight": DType.F8_E4M3, "weight_scale_inv": DType.F32}


def quantised(name: str, leaves: dict[str, DType]) -> SourceModel:
    """Return a model with one quantised projection, the attention's output."""
    layer = {suffix: shape for suffix, shape in LAYER.items() if "o_proj" not in suffix}
    layer |= {f"self_attn.o_proj.{leaf}": (4, 4) for leaf in leaves}
    dtypes = {f"o_proj.{leaf}": dtype for leaf, dtype in leaves.items()}
    return catalog_model(name, layer=layer, dtypes=dtypes)


def scaled(rules: str) -> str:
    return stacked(f"{{model: a, layer_range: [0, 1], parameters: {{scale: {rules}}}}}")


@pytest.mark.parametrize(
    ("leaves", "leaf", "made"),
    [(GPTQ, "scales", Zero), (FP8, "weight", Zero), (NF4, "weight", Constant)],
    ids=["GPTQ", "FP8", "NF4"],
)
def test_a_scale_of_zero_makes_the_weight_zero(leaves: dict[str, DType], leaf: str, made: type) -> None:
    text = scaled("[{filter: o_proj, value: 0}, {value: 1}]")
    plan = built(text, models_of(quantised("a", leaves))).plan
    check_plan(plan)
    assert decode_plan(encode_plan(plan), origin="plan") == plan
    found = operations(plan)
    kinds = {name: type(found[f"model.layers.0.self_attn.o_proj.{name}"]) for name in leaves}
    assert kinds == {name: made if name == leaf else Copy for name in leaves}


def test_the_zero_of_an_index_is_its_code() -> None:
    text = "{model: a, block_expansion: {after: [0]}}"
    found = operations(built(text, models_of(quantised("a", NF4))).plan)
    constant = found["model.layers.1.self_attn.o_proj.weight"]
    assert isinstance(constant, Constant)
    assert (constant.value, constant.target) == (0x77, DType.U8)


@pytest.mark.parametrize("leaves", [GPTQ, FP8, NF4], ids=["GPTQ", "FP8", "NF4"])
@pytest.mark.parametrize("where", ["o_proj", "o_proj.{}"], ids=["all", "one of its tensors"])
@pytest.mark.parametrize("factor", [0.5, 0, -1])
def test_other_scales_are_refused(leaves: dict[str, DType], where: str, factor: float) -> None:
    for leaf in leaves:
        name = where.format(leaf)
        if factor == 0 and sum(name in f"o_proj.{other}" for other in leaves) == len(leaves):
            continue  # the rule above
        text = scaled(f"[{{filter: {name}, value: {factor}}}, {{value: 1}}]")
        with pytest.raises(RecipeError, match=r"self_attn.o_proj' is stored as .*only 0 or 1"):
            built(text, models_of(quantised("a", leaves)))


def test_casts_are_refused_and_what_is_no_cast_is_not() -> None:
    models = models_of(quantised("a", GPTQ))
    with pytest.raises(
        RecipeError, match=r"o_proj' is stored as GPTQ or AWQ: can't be cast \('.*scales' is F16"
    ):
        built(scaled("1") + "dtype: bfloat16\n", models)
    assert built(scaled("1") + "dtype: float16\n", models)


def test_blends_are_refused_and_what_is_no_blend_is_not() -> None:
    models = models_of(quantised("a", GPTQ), quantised("b", GPTQ))
    text = (
        "slices:\n  - sources:\n"
        "    - {model: a, layer_range: [0, 1], parameters: {weight: %s}}\n"
        "    - {model: b, layer_range: [0, 1], parameters: {weight: %s}}\n"
        "merge_method: linear\n"
    )
    with pytest.raises(RecipeError, match="can't be blended"):
        built(text % (0.5, 0.5), models)
    alone = "[{filter: o_proj, value: %s}, {value: 0.5}]"
    plan = built(text % (alone % 1, alone % 0), models).plan
    found = operations(plan)["model.layers.0.self_attn.o_proj.scales"]
    assert isinstance(found, Copy)
    assert plan.sources[found.source].model == "a"
