"""A model without its new layers, out of the one in memory: nothing is read or copied."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distexpand.errors import UsageError
from distexpand.running.deferred import Identities
from distexpand.running.opened import OpenedModel, open_model, put
from distexpand.running.runnable import Runnable
from distexpand.running.weights import numbered_alike

_HINT = "Save the model, and make a model without them with the recipe of `distexpand init --undo OUT`."


def without_new_layers(
    model: Any, output: Runnable, undone: Runnable, *, trust_remote_code: bool = False
) -> Any:
    """Return a model of the original layers, with the very parameters that `model` has for them.

    Args:
        model: the output's model as transformers loaded it, perhaps trained since.
        output: what it was loaded from.
        undone: what a recipe makes of that which leaves the new layers out.
        trust_remote_code: whether code that came with the model may run.

    Raises:
        UsageError: `model` isn't of the output, or has parameters that hold something of every layer.
    """
    options = {"dtype": model.dtype, "attn_implementation": model.config._attn_implementation}  # noqa: SLF001
    identities = Identities()
    held = _held(model, _opened(output, options, trust_remote_code), identities, output.origin)
    alike = replace(undone, weights=numbered_alike(undone.weights, output.weights.files))
    smaller = _opened(alike, options, trust_remote_code)
    for name, deferred in (dict(smaller.parameters) | dict(smaller.buffers)).items():
        number = identities.number(deferred)
        if number not in held:
            raise UsageError(f"{output.origin}: {name!r} holds something of every layer", hint=_HINT)
        put(smaller.model, name, held[number])
    for name, buffer in smaller.model.named_buffers():
        put(smaller.model, name, buffer.to(model.device))
    if model.can_generate():
        smaller.model.generation_config = model.generation_config
    return smaller.model.train(model.training)


def _opened(runnable: Runnable, options: Mapping[str, Any], trust_remote_code: bool) -> OpenedModel:
    return open_model(
        runnable.weights,
        runnable.directory,
        origin=runnable.origin,
        trust_remote_code=trust_remote_code,
        **options,
    )


def _held(model: Any, opened: OpenedModel, identities: Identities, origin: str) -> dict[int, Any]:
    """Return a model's parameters and buffers by the number of what they were loaded from."""
    present = dict(model.named_parameters(remove_duplicate=False))
    present |= dict(model.named_buffers(remove_duplicate=False))
    held = {}
    for name, deferred in (dict(opened.parameters) | dict(opened.buffers)).items():
        if name not in present or present[name].shape != deferred.shape:
            raise UsageError(
                f"the model isn't the one of {origin}: no parameter {name!r} of shape {list(deferred.shape)}",
                hint="Give the model as transformers loaded it, without an adapter around it.",
            )
        held[identities.number(deferred)] = present[name]
    return held
