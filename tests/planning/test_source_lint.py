"""Findings about sources that differ from each other."""

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("key", "left", "right"),
    [
        ("sliding_window", 8, None),
        ("attention_chunk_size", 8, 16),
        ("clip_qkv", None, 0.05),
        ("window_size", 256, 8),
        ("alibi", False, True),
        ("rope_interleave", True, False),
        ("num_experts_per_token", 2, 4),
        ("hidden_act", "silu", "gelu"),
        ("a_key_that_nobody_knows", 1.0, 2.0),
    ],
)
def test_every_value_by_which_layers_compute_is_compared(key: str, left: object, right: object) -> None:
    for ours, theirs in ((left, right), (right, left)):
        a, b = catalog_model("a", **{key: ours}), catalog_model("b", **{key: theirs})
        assert codes(b, a=a) == ["configs-differ"]
        assert codes(catalog_model("b", **{key: ours}), a=a) == []


def test_an_absent_key_is_compared_where_its_meaning_is_known() -> None:
    assert codes(catalog_model("b", rope_interleave=False)) == ["configs-differ"]
    assert codes(catalog_model("b", clip_qkv=8.0)) == ["configs-differ"]
    assert codes(catalog_model("b", rope_interleave=True, clip_qkv=None, sliding_window=None)) == []


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"attention_dropout": 0.0, "init_std": 0.02}, {"attention_dropout": 0.1, "init_std": 1}),
        ({"torch_dtype": "float16", "use_cache": True}, {"torch_dtype": "bfloat16", "use_cache": False}),
        ({"_name_or_path": "x", "unsloth_version": "1"}, {"_name_or_path": "y", "unsloth_version": "2"}),
        ({"pad_token_id": None, "eos_token_id": 2}, {"pad_token_id": 0, "eos_token_id": 3}),
        (
            {"max_position_embeddings": 4, "pretraining_tp": 1},
            {"max_position_embeddings": 8, "pretraining_tp": 2},
        ),
        ({"head_dim": None, "num_key_value_heads": None}, {"head_dim": 2, "num_key_value_heads": 2}),
        ({"attention_bias": None}, {"attention_bias": False}),
        (
            {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 2},
            {"use_sliding_window": False, "sliding_window": 8192, "max_window_layers": 4},
        ),
        ({"first_k_dense_replace": 4}, {"first_k_dense_replace": 5}),
        ({"hybrid_override_pattern": "M-M*"}, {"hybrid_override_pattern": "M*M-"}),
    ],
)
def test_what_says_nothing_of_how_layers_compute_is_not_told(
    left: dict[str, Any], right: dict[str, Any]
) -> None:
    assert codes(catalog_model("b", **right), a=catalog_model("a", **left)) == []


def test_layers_of_another_depth_are_not_told() -> None:
    assert codes(catalog_model("b", num_layers=6)) == []


def test_the_longest_input_counts_where_positions_are_scaled_by_it() -> None:
    scaling = {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}}
    a = catalog_model("a", max_position_embeddings=4096, **scaling)
    assert codes(catalog_model("b", max_position_embeddings=8192, **scaling), a=a) == ["configs-differ"]


def test_a_window_that_only_one_model_uses_is_told() -> None:
    a = catalog_model("a", use_sliding_window=False, sliding_window=8)
    b = catalog_model("b", use_sliding_window=True, sliding_window=8)
    assert codes(b, a=a) == ["configs-differ"]


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
