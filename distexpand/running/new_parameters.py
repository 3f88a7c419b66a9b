"""Which of a model's parameters are an output's new layers: asked of transformers, which names them.

What is stored under a layer's number may have another name in the model, be put
together with others, or serve several layers. So each parameter is followed
back to the stored tensors that it is made of.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError
from distexpand.handoff.new_parameters import NewParameters
from distexpand.running.deferred import leaves
from distexpand.running.opened import OpenedModel
from distexpand.running.weights import Weights


def find_new_parameters(
    opened: OpenedModel, weights: Weights, stack: LayerStack, new_layers: Collection[int]
) -> NewParameters:
    """Return the parameters of new layers, and the others.

    Args:
        opened: the output's model.
        weights: what it was opened from.
        stack: the layers that were expanded, as they are stored.
        new_layers: the places of the new ones.

    Raises:
        ArchitectureError: a parameter is made of new layers and others.
    """
    stored = {id(made): name for name, made in weights.tensors.items()}
    names: list[str] = []
    others: list[str] = []
    for name, _ in opened.model.named_parameters():
        layers = _layers(opened.parameters.get(name), stored, stack)
        is_new = bool(layers) and layers <= set(new_layers)
        if not is_new and layers & set(new_layers):
            raise ArchitectureError(f"parameter {name!r} is made of new layers and others at once")
        (names if is_new else others).append(name)
    linear = _linear_modules(opened.model)
    sizes = {name: weight.numel() for name, weight in opened.model.named_parameters()}
    return NewParameters(
        layers=tuple(sorted(new_layers)),
        num_layers=stack.num_layers,
        names=tuple(names),
        others=tuple(others),
        linear=tuple(module for module in linear if f"{module}.weight" in set(names)),
        other_linear=tuple(module for module in linear if f"{module}.weight" not in set(names)),
        elements=sum(sizes[name] for name in names),
        other_elements=sum(sizes[name] for name in others),
    )


def _layers(parameter: Any, stored: Mapping[int, str], stack: LayerStack) -> set[int | None]:
    """Return the layers whose tensors a parameter is made of; nothing stands for outside of them."""
    if parameter is None:
        return {None}
    places = [stack.split(stored[id(made)]) for made in leaves(parameter)]
    return {place[0] if place else None for place in places}


def _linear_modules(model: Any) -> list[str]:
    from transformers.pytorch_utils import Conv1D  # noqa: PLC0415  # takes seconds

    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
