"""Tiny models of real classes, what recipes make of them, and running them as everybody does."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from distexpand.api import plan_expansion, run_plan
from distexpand.proof.classes import load_class
from tests.support.architectures import Auto, tiny_model
from tests.support.sparse import write_tokenizer

LAYERS = 6
TOKENS = torch.tensor([[5, 17, 3, 44, 29, 8, 8, 31, 12, 40]])


def saved(directory: Path, model_type: str, *, auto: Auto = "causal", **changes: Any) -> Path:
    """Save a tiny model in bf16 with a tokenizer, and return `directory`."""
    model = tiny_model(model_type, num_layers=LAYERS, auto=auto, **changes)
    model.to(torch.bfloat16).save_pretrained(directory)
    write_tokenizer(directory)
    return directory


def expanded(recipe: str, source: Path, output: Path, name: str = "a") -> Path:
    """Run a recipe that names one model and return the output."""
    plan = plan_expansion(recipe, origin="recipe", places={name: str(source)}, shard_size=200_000).plan
    run_plan(plan, output)
    return output


def loaded(directory: Path) -> Any:
    """Load a checkpoint as transformers does."""
    config = AutoConfig.from_pretrained(directory)
    model_class = load_class(config, str(directory), trust_remote_code=False)
    return model_class.from_pretrained(directory, dtype="auto").eval()


def answers(model: Any) -> Any:
    """Return the logits of a few tokens."""
    inputs = {"input_ids": TOKENS}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = TOKENS
    with torch.inference_mode():
        return model(**inputs).logits
