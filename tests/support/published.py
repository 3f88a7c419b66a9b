"""The published models that tests plan over, by name; each config is `tests/published/configs/NAME.json`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.published_hybrids import (
    falcon_h1_tensors,
    granite_tensors,
    jamba_tensors,
    lfm2_tensors,
    nemotron_h_tensors,
    zamba2_tensors,
)
from tests.support.published_images import gemma3_tensors, llama4_tensors
from tests.support.published_mixtures import gpt_oss_tensors, qwen3_next_tensors
from tests.support.published_model import Config, PublishedModel, Tensor
from tests.support.published_predicting import deepseek_tensors, glm_tensors

_CONFIGS = Path(__file__).resolve().parent.parent / "published" / "configs"

FAMILIES: dict[str, Callable[[Config], Iterator[Tensor]]] = {
    "deepseek-v3": deepseek_tensors,
    "falcon-h1-0.5b": falcon_h1_tensors,
    "gemma-3-27b": gemma3_tensors,
    "glm-4.5-air": glm_tensors,
    "gpt-oss-120b": gpt_oss_tensors,
    "granite-4.0-h-small": granite_tensors,
    "jamba-1.5-mini": jamba_tensors,
    "kimi-k2": deepseek_tensors,
    "lfm2-1.2b": lfm2_tensors,
    "llama-4-maverick": llama4_tensors,
    "nemotron-h-8b": nemotron_h_tensors,
    "qwen3-next-80b-a3b": qwen3_next_tensors,
    "zamba2-2.7b": zamba2_tensors,
}


def published(name: str, **changes: Any) -> PublishedModel:
    """Return a published model by name, on request with other config values."""
    config = json.loads((_CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return PublishedModel(name=name, config=config | changes, tensors=FAMILIES[name])
