"""The published models' tensors are what transformers' own classes have, and add up to the published sizes.

Layers that follow a period and experts that are alike are cut down to what shows every
kind. Experts are compared after transformers has turned its own fused ones back.
"""

import math
import re
from typing import Any

import pytest

from tests.support.published import FAMILIES, published
from tests.support.published_model import Config

_CUTS: dict[str, Config] = {
    "deepseek-v3": {"num_hidden_layers": 5, "n_routed_experts": 8, "num_nextn_predict_layers": 0},
    "glm-4.5-air": {"num_hidden_layers": 3, "n_routed_experts": 4, "num_nextn_predict_layers": 0},
    "gpt-oss-120b": {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]},
    "jamba-1.5-mini": {"num_hidden_layers": 8, "num_experts": 2},
    "kimi-k2": {"num_hidden_layers": 3, "n_routed_experts": 4, "model_type": "deepseek_v3"},
    "qwen3-next-80b-a3b": {"num_hidden_layers": 4, "num_experts": 4},
}
"""Kimi-K2's own class is custom code, but its tensors are those of DeepSeek-V3's."""

_TIED = re.compile(r"(^|\.)lm_head\.weight$")
_TIED_BLOCK = re.compile(r"model\.layers\.(18|24|30|36|42|47|51)\.shared_transformer\.")
_VALUES_IN_A_BYTE = 2


@pytest.mark.parametrize("name", FAMILIES)
def test_names_and_shapes_are_those_of_the_transformers_class(name: str) -> None:
    transformers = pytest.importorskip(
        "transformers", reason="needs transformers: pip install 'distexpand[load]'"
    )
    model = published(name)
    config = {**model.config, **_CUTS.get(name, {})}
    expected = {tensor: shape for tensor, _, shape in model.tensors(config)}
    assert _class_shapes(transformers, config) == _in_the_class(expected)


def _class_shapes(transformers: Any, config: Config) -> dict[str, tuple[int, ...]]:
    import torch  # noqa: PLC0415
    from transformers.core_model_loading import revert_weight_conversion  # noqa: PLC0415

    left_out = {"model_type", "quantization_config", "auto_map"}
    values = {key: value for key, value in config.items() if key not in left_out}
    with torch.device("meta"):
        class_ = getattr(transformers, config["architectures"][0])
        model = class_(transformers.AutoConfig.for_model(config["model_type"], **values))
    state = revert_weight_conversion(model, model.state_dict())
    tied = _TIED if model.config.get_text_config().tie_word_embeddings else re.compile("(?!)")
    return {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not tied.search(name) and not _TIED_BLOCK.match(name)
    }


def _in_the_class(tensors: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return what transformers loads a checkpoint's tensors as, before its own conversions."""
    loaded = {}
    for name, shape in tensors.items():
        if name.startswith("mtp.") or name.endswith(("_scale_inv", "_scales")):
            continue
        own = name.removesuffix("_blocks").replace("vision_tower.vision_model.", "vision_tower.")
        loaded[own] = _unpacked(shape) if name.endswith("_blocks") else shape
    return loaded


def _unpacked(shape: tuple[int, ...]) -> tuple[int, ...]:
    count, rows, blocks, size = shape
    return count, blocks * size * _VALUES_IN_A_BYTE, rows


@pytest.mark.parametrize(
    ("name", "tensors", "billions"),
    [
        ("deepseek-v3", 91_991, 685),
        ("falcon-h1-0.5b", 579, 0.52),
        ("gemma-3-27b", 1_247, 27.4),
        ("glm-4.5-air", 18_329, 110),
        ("granite-4.0-h-small", 586, 32),
        ("jamba-1.5-mini", 1_251, 51.6),
        ("kimi-k2", 139_583, 1026),
        ("lfm2-1.2b", 148, 1.17),
        ("llama-4-maverick", 1_061, 402),
        ("nemotron-h-8b", 311, 8.1),
        ("qwen3-next-80b-a3b", 75_944, 81),
    ],
)
def test_parameters_are_as_published(name: str, tensors: int, billions: float) -> None:
    model = published(name)
    shapes = [shape for _, _, shape in model.tensors(model.config)]
    assert len(shapes) == tensors
    assert sum(math.prod(shape) for shape in shapes) / 1e9 == pytest.approx(billions, rel=0.02)
