"""Findings about sources that differ from each other."""

from distexpand.formats.dtypes import DType
from distexpand.planning.build import CarriedFile
from distexpand.planning.lint import lint_sources
from distexpand.planning.sources import SourceModel
from distexpand.recipe.canonical import ModelRef
from tests.planning.catalogs import catalog_model, models_of, recipe_over

TWO = """
slices:
  - sources: [{model: a, layer_range: [0, 4]}]
  - sources: [{model: b, layer_range: [0, 4]}]
merge_method: passthrough
"""

SUM = """
slices:
  - sources: [{}]
merge_method: linear
parameters: {{weight: 0.5}}
"""


def codes(b: SourceModel, *, a: SourceModel | None = None, text: str = TWO, pins: str = "") -> list[str]:
    """Return the findings' codes; `pins` gives a and b a tokenizer each."""
    models = models_of(a or catalog_model("a"), b)
    files = [
        CarriedFile(model=ModelRef(name=name), name="tokenizer.json", size=1, pin=pin)
        for name, pin in zip("ab", pins, strict=False)
    ]
    return [finding.code for finding in lint_sources(recipe_over(text, models), models, files)]


def test_equal_sources_have_no_findings() -> None:
    assert codes(catalog_model("b"), pins="xx") == []


def test_mixed_dtypes_unless_the_recipe_says_one() -> None:
    half = catalog_model("b", dtype=DType.F16)
    assert codes(half) == ["mixed-dtypes"]
    assert codes(half, text=TWO + "dtype: bfloat16\n") == []
    assert codes(half, text=TWO + "out_dtype: bfloat16\n") == []


def test_mixed_dtypes_of_sums_become_one() -> None:
    models = models_of(catalog_model("a", dtype=DType.F16), catalog_model("b"))
    for order in ("ab", "ba"):
        listed = ", ".join(f"{{model: {name}, layer_range: [0, 4]}}" for name in order)
        (found,) = lint_sources(recipe_over(SUM.format(listed), models), models, [])
        assert found.code == "mixed-dtypes"
        assert "sums of them are stored as F32: " in found.message
        assert "out_dtype" in found.advice
    (found,) = lint_sources(recipe_over(TWO, models), models, [])
    assert "and stay so: a F16, b BF16" in found.message


def test_a_dtype_of_few_bytes_isn_t_the_model_s() -> None:
    assert codes(catalog_model("b", dtypes={"norm.weight": DType.F32})) == []


def test_vocabularies_and_tokenizers() -> None:
    assert codes(catalog_model("b", vocabulary=11)) == ["vocabularies-differ"]
    assert codes(catalog_model("b"), pins="xy") == ["tokenizers-differ"]


def test_configs_that_should_agree() -> None:
    a = catalog_model("a", rope_theta=10000.0, hidden_act="silu")
    assert codes(catalog_model("b", rope_theta=500000.0, hidden_act="silu"), a=a) == ["configs-differ"]
    assert codes(catalog_model("b"), a=a) == []


def test_a_tied_head_is_the_embeddings_model_s() -> None:
    a = catalog_model("a", tie_word_embeddings=True)
    assert codes(catalog_model("b", tie_word_embeddings=True), a=a) == ["tied-head"]


def test_the_rotary_base_is_compared_wherever_it_is_written() -> None:
    old, new = {"rope_theta": 1e6}, {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    for left, right, expected in (
        (old, new, []),
        ({}, {"rope_theta": 10_000}, []),
        ({}, old, ["configs-differ"]),
        (new, {}, ["configs-differ"]),
        (old, {**old, "rope_scaling": {"type": "linear", "factor": 2.0}}, ["configs-differ"]),
        (old, {**old, "rope_scaling": [1]}, []),
    ):
        assert codes(catalog_model("b", **right), a=catalog_model("a", **left)) == expected


def test_a_bias_that_only_one_config_has_is_told() -> None:
    assert codes(catalog_model("b", attention_bias=True)) == ["configs-differ"]


def test_an_output_without_a_tokenizer_is_told_where_there_is_one() -> None:
    assert codes(catalog_model("b")) == []
    models = models_of(catalog_model("a"), catalog_model("b"))
    only_b = [CarriedFile(model=ModelRef(name="b"), name="tokenizer.json", size=1, pin="x")]
    (found,) = lint_sources(recipe_over(TWO, models), models, only_b)
    assert found.code == "no-tokenizer"
    assert found.advice.endswith("b.")


def test_a_source_of_no_weight_is_not_compared() -> None:
    text = """
slices:
  - sources:
    - {model: a, layer_range: [0, 4], parameters: {weight: 1.0}}
    - {model: b, layer_range: [0, 4], parameters: {weight: 0.0}}
merge_method: linear
"""
    b = catalog_model("b", vocabulary=11, dtype=DType.F32, rope_theta=5.0)
    assert codes(b, text=text, pins="xy") == []
