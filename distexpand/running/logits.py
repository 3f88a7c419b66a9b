"""Running a model once, forwards."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from distexpand.errors import CheckpointError
from distexpand.running.libraries import quiet, words
from distexpand.running.streaming import layers_of


def logits_of(model: Any, rows: Any, *, origin: str, told: Callable[[float], None] = lambda _: None) -> Any:
    """Return a model's logits after every token: rows by tokens by vocabulary.

    Args:
        model: any class that has logits; encoder and decoder of one get the same tokens.
        rows: token ids, rows by tokens.
        origin: what to call the model in messages.
        told: told the share of layers that are done.

    Raises:
        CheckpointError: it can't be run on tokens alone.
    """
    inputs = {"input_ids": rows}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = rows
    if "use_cache" in inspect.signature(model.forward).parameters:
        inputs["use_cache"] = False
    try:
        with quiet(), torch.inference_mode(), _counted(model, told):
            return model(**inputs).logits
    except Exception as error:
        raise CheckpointError(f"{origin}: running it failed: {words(error)}") from error


@contextmanager
def _counted(model: Any, told: Callable[[float], None]) -> Iterator[None]:
    """Tell of every layer that is done."""
    layers = [layer for _, layer in layers_of(model)]
    done = 0

    def after(*_: Any) -> None:
        nonlocal done
        done += 1
        told(min(1.0, done / len(layers)))

    hooks = [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
