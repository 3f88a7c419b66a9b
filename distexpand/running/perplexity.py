"""How well a model predicts a text, one layer in memory at a time.

Several windows go through the model together, so that its layers are read once
for all of them and not once for each.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from distexpand.errors import CheckpointError, UsageError
from distexpand.running.evaluation import EvalOptions, Perplexity
from distexpand.running.libraries import usable_device
from distexpand.running.logits import logits_of
from distexpand.running.opened import open_model
from distexpand.running.reading import TensorReader
from distexpand.running.runnable import Runnable
from distexpand.running.streaming import layer_count, stream
from distexpand.running.tokens import tokenized
from distexpand.running.windows import Window, batches, cut_windows

_WINDOW = 1024
_SCORED = 128
_LARGEST_LOSS = 700.0
"""Nats; the exponential of much more is no number any more."""


def perplexity(
    runnable: Runnable,
    text: str,
    options: EvalOptions,
    *,
    progress: Callable[[float], None] = lambda _: None,
) -> Perplexity:
    """Return how well a model predicts a text.

    Args:
        runnable: the model.
        text: at least two tokens of it.
        options: how it is cut and the model runs.
        progress: told the share of the work that is done, after every layer.

    Raises:
        UsageError: the model has no tokenizer, takes no such windows, or isn't a language model.
        CheckpointError: it can't be loaded or run.
    """
    started = time.monotonic()
    usable_device(options.device)
    trust = options.trust_remote_code
    ids = tokenized(runnable.directory, text, origin=runnable.origin, trust_remote_code=trust).ids
    with TensorReader(runnable.weights) as reader:
        opened = open_model(
            runnable.weights, runnable.directory, origin=runnable.origin, trust_remote_code=trust
        )
        window, stride = _window(opened.model, runnable.origin, options)
        windows = cut_windows(len(ids), window=window, stride=stride)
        passes = list(batches(windows, tokens=options.together))
        model = stream(opened, reader, device=options.device)
        losses: list[float] = []
        for number, batch in enumerate(passes):

            def told(share: float, number: int = number) -> None:
                progress((number + share) / len(passes))

            rows = torch.tensor([ids[window.begin : window.end] for window in batch], device=options.device)
            losses += _losses(model, rows, batch, origin=runnable.origin, told=told)
    mean, total = _mean(windows, losses, runnable.origin)
    return Perplexity(
        model=runnable.origin,
        perplexity=math.exp(mean),
        loss=mean,
        bits=total / math.log(2) / len(text.encode()),
        tokens=len(ids),
        window=window,
        stride=stride,
        passes=len(passes),
        layers=layer_count(model),
        parameters=runnable.weights.parameters,
        seconds=time.monotonic() - started,
    )


def _window(model: Any, origin: str, options: EvalOptions) -> tuple[int, int]:
    """Return window and stride, after a look at what kind of model it is."""
    if model.config.is_encoder_decoder or not model.can_generate():
        raise UsageError(f"{origin}: {type(model).__name__} doesn't predict the next token of a text")
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or _WINDOW
    window = options.window or min(_WINDOW, most)
    if window > most:
        raise UsageError(
            f"{origin}: takes at most {most} tokens, less than a window of {window}",
            hint=f"Choose --window {most} or less.",
        )
    return window, options.stride or max(1, window // 2)


def _cross_entropy(scores: Any, targets: Any) -> Any:
    return torch.nn.functional.cross_entropy(scores, targets, reduction="sum")


def _losses(
    model: Any, rows: Any, batch: Sequence[Window], *, origin: str, told: Callable[[float], None]
) -> list[float]:
    """Return each window's mean loss over the tokens that count in it.

    In float32 as transformers computes it, a few tokens at a time: in float32 the scores of a window over
    a large vocabulary are larger than a layer.
    """
    logits = logits_of(model, rows, origin=origin, told=told)
    losses = []
    for row, scores, window in zip(rows, logits, batch, strict=True):
        first = window.length - window.predicted
        parts = zip(scores[first - 1 : -1].split(_SCORED), row[first:].split(_SCORED), strict=True)
        total = sum(float(_cross_entropy(part.float(), targets)) for part, targets in parts)
        losses.append(total / window.predicted)
    return losses


def _mean(windows: Sequence[Window], losses: Sequence[float], origin: str) -> tuple[float, float]:
    """Return the mean loss as transformers' documentation weights it, and the sum over all tokens."""
    weights = [window.weight for window in windows]
    mean = sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)
    if not mean < _LARGEST_LOSS:
        raise CheckpointError(
            f"{origin}: its loss on the text is {mean}, which gives no perplexity",
            hint="Do its weights hold NaN? Compare with its base model.",
        )
    return mean, sum(window.predicted * loss for window, loss in zip(windows, losses, strict=True))
