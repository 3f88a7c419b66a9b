"""Findings about sources that differ from each other."""

from distexpand.formats.dtypes import DType
from distexpand.plan.build import CarriedFile
from distexpand.plan.lint import lint_sources
from distexpand.plan.sources import SourceModel
from distexpand.recipe.canonical import ModelRef
from tests.plan.catalogs import catalog_model, models_of, recipe_over

TWO = """
slices:
  - sources: [{model: a, layer_range: [0, 4]}]
  - sources: [{model: b, layer_range: [0, 4]}]
merge_method: passthrough
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
