"""Expansions of published models: the config as worked out by hand, and each tensor where the order says.

The expectations are literal; nothing in them is computed by what is tested. Each model has
an expansion that keeps to the period of its layers' kinds, and one that breaks it. Models with
tens of thousands of tensors are planned whole once, and with fewer experts after that.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.published.conftest import Planning
from tests.published.reading import changes, copied, expected_copies
from tests.support.published import published

Range = tuple[int, int]
_WORDS = {
    "C": "chunked_attention",
    "F": "full_attention",
    "L": "linear_attention",
    "S": "sliding_attention",
    "a": "attention",
    "c": "conv",
    "h": "hybrid",
    "m": "mamba",
}

_FEW_ROUTED = {"n_routed_experts": 4}


def words(letters: str) -> list[str]:
    """Return layer types from one letter for each layer."""
    return [_WORDS[letter] for letter in letters]


@dataclass(frozen=True, slots=True)
class Case:
    """A model, the ranges of its layers that the recipe stacks, and all that changes in its config."""

    model: str
    ranges: tuple[Range, ...]
    changes: dict[str, Any]
    prefix: str = "model.layers."
    fewer: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.model}-{'-'.join(f'{start}:{end}' for start, end in self.ranges)}"


CASES = (
    # a prediction layer behind 61 or 46; the first 3 or 1 layers are dense
    Case("deepseek-v3", ((0, 40), (20, 61)), {"num_hidden_layers": 81}),
    Case(
        "deepseek-v3",
        ((0, 3), (1, 61)),
        {"num_hidden_layers": 63, "first_k_dense_replace": 5},
        fewer=_FEW_ROUTED,
    ),
    Case("glm-4.5-air", ((0, 30), (15, 46)), {"num_hidden_layers": 61}),
    Case(
        "glm-4.5-air",
        ((0, 1), (0, 46)),
        {"num_hidden_layers": 47, "first_k_dense_replace": 2},
        fewer=_FEW_ROUTED,
    ),
    Case("kimi-k2", ((0, 40), (20, 61)), {"num_hidden_layers": 81}),
    Case("kimi-k2", ((1, 61),), {"num_hidden_layers": 60, "first_k_dense_replace": 0}, fewer=_FEW_ROUTED),
    # a list of types, alternating
    Case(
        "gpt-oss-120b",
        ((0, 24), (12, 36)),
        {"num_hidden_layers": 48, "layer_types": words("SF" * 24)},
    ),
    Case(
        "gpt-oss-120b",
        ((0, 19), (16, 36)),
        {"num_hidden_layers": 39, "layer_types": words("SF" * 9 + "S" + "SF" * 10)},
    ),
    # every 4th layer has full attention, by an interval
    Case("qwen3-next-80b-a3b", ((0, 32), (16, 48)), {"num_hidden_layers": 64}),
    Case(
        "qwen3-next-80b-a3b",
        ((0, 25), (22, 48)),
        {"num_hidden_layers": 51, "layer_types": words("LLLF" * 6 + "L" + "LF" + "LLLF" * 6)},
        fewer={"num_experts": 4},
    ),
    # every 6th, by what the class takes where the config says nothing
    Case(
        "gemma-3-27b",
        ((0, 36), (18, 62)),
        {"text_config.num_hidden_layers": 80},
        prefix="language_model.model.layers.",
    ),
    Case(
        "gemma-3-27b",
        ((0, 32), (27, 62)),
        {
            "text_config.num_hidden_layers": 67,
            "text_config.layer_types": words("SSSSSF" * 5 + "SS" + "SSF" + "SSSSSF" * 5 + "SS"),
        },
        prefix="language_model.model.layers.",
    ),
    # experts in every 2nd layer, positions not encoded in every 4th; either may be kept without the other
    Case(
        "llama-4-maverick",
        ((0, 32), (16, 48)),
        {"text_config.num_hidden_layers": 64},
        prefix="language_model.model.layers.",
    ),
    Case(
        "llama-4-maverick",
        ((0, 26), (24, 48)),
        {
            "text_config.num_hidden_layers": 50,
            "text_config.no_rope_layers": [1, 1, 1, 0] * 6 + [1, 1] + [1, 1, 1, 0] * 6,
        },
        prefix="language_model.model.layers.",
    ),
    Case(
        "llama-4-maverick",
        ((0, 25), (22, 48)),
        {
            "text_config.num_hidden_layers": 51,
            "text_config.no_rope_layers": [1, 1, 1, 0] * 6 + [1] + [1, 0] + [1, 1, 1, 0] * 6,
            "text_config.moe_layers": [*range(1, 24, 2), *range(26, 51, 2)],
        },
        prefix="language_model.model.layers.",
    ),
    # periods and offsets
    Case("jamba-1.5-mini", ((0, 24), (8, 32)), {"num_hidden_layers": 48}),
    Case("jamba-1.5-mini", ((4, 32),), {"num_hidden_layers": 28, "attn_layer_offset": 0}),
    # a pattern with a letter for each layer
    Case(
        "nemotron-h-8b",
        ((0, 30), (20, 52)),
        {
            "num_hidden_layers": 62,
            "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
        },
        prefix="backbone.layers.",
    ),
    # lists that aren't by layer, as long as they may be
    Case("falcon-h1-0.5b", ((0, 24), (12, 36)), {"num_hidden_layers": 48}),
    Case("falcon-h1-0.5b", ((0, 5),), {"num_hidden_layers": 5}),
    # blocks that hybrid layers share in turn: only layers between them are used twice
    Case(
        "zamba2-2.7b",
        ((0, 5), (1, 54)),
        {
            "num_hidden_layers": 58,
            "hybrid_layer_ids": [10, 16, 22, 28, 34, 40, 46, 51, 55],
            "layers_block_type": words("mmmmmmmmmmhmmmmmhmmmmmhmmmmmhmmmmmhmmmmmhmmmmmhmmmmhmmmhmm"),
        },
    ),
    # indices of layers
    Case(
        "lfm2-1.2b",
        ((0, 12), (4, 16)),
        {"num_hidden_layers": 24, "full_attn_idxs": [2, 5, 8, 10, 13, 16, 18, 20, 22]},
    ),
    # a list of types, attention in every 10th
    Case(
        "granite-4.0-h-small",
        ((0, 30), (20, 40)),
        {
            "num_hidden_layers": 50,
            "layer_types": words("mmmmmammmmmmmmmammmmmmmmmammmmmmmmmammmmmmmmmammmm"),
        },
    ),
    Case(
        "granite-4.0-h-small",
        ((0, 16), (13, 40)),
        {
            "num_hidden_layers": 43,
            "layer_types": words("mmmmmammmmmmmmmammammmmmmmmmammmmmmmmmammmm"),
        },
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_config_and_tensors_follow_the_layers(case: Case, planned: Planning) -> None:
    model = published(case.model, **case.fewer)
    made = planned(case.model, *case.ranges, **case.fewer)
    assert changes(model, made) == case.changes
    order = [layer for start, end in case.ranges for layer in range(start, end)]
    assert copied(made) == expected_copies(model, case.prefix, order)
