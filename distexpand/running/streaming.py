"""A model that runs layer by layer: accelerate's hooks, over weights that are made when they are asked for.

Accelerate takes any mapping for the weights that it puts into a module before
it runs and takes out after it. Ours makes them from the checkpoint or the plan,
so that there is one layer in memory at a time and no folder of offloaded
weights. What is outside the layers stays in the model, mapped from its file: of
an embedding only the rows that are looked up are ever read. Rejected:
accelerate's own walk over all modules, which takes the weights away from
classes that look at an embedding without calling it, and offloads to a folder
whatever transformers converts on loading.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module

from distexpand.running.deferred import make
from distexpand.running.opened import OpenedModel, put
from distexpand.running.reading import TensorReader


class LayerWeights(Mapping[str, Any]):
    """The weights of one layer by their names in it, each made anew whenever it is asked for."""

    def __init__(self, deferred: Mapping[str, Any], prefix: str, reader: TensorReader) -> None:
        self._deferred = {
            name.removeprefix(prefix): weight for name, weight in deferred.items() if name.startswith(prefix)
        }
        self._reader = reader

    def __getitem__(self, name: str) -> Any:
        return make(self._deferred[name], self._reader.tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._deferred)

    def __len__(self) -> int:
        return len(self._deferred)


def stream(opened: OpenedModel, reader: TensorReader, *, device: str = "cpu") -> Any:
    """Return the model, ready to run with one layer in memory at a time.

    Args:
        opened: the model; it becomes the one that is returned.
        reader: reads its weights; has to stay open as long as the model runs.
        device: where layers run.
    """
    layers = dict(layers_of(opened.model))
    streamed = tuple(f"{name}." for name in layers)
    for name, weight in opened.parameters.items():
        # each of several names for one weight by itself, so that none is taken for there
        held = weight.like if name.startswith(streamed) else make(weight, reader.tensor).to(device)
        # asking for gradients as if it had been loaded: torch takes another order of sums where nobody asks
        put(opened.model, name, torch.nn.Parameter(held, requires_grad=weight.requires_grad))
    for name, weight in opened.buffers.items():
        put(opened.model, name, make(weight, reader.tensor).to(device))
    for name, layer in layers.items():
        hook = AlignDevicesHook(
            execution_device=torch.device(device),
            offload=True,
            weights_map=LayerWeights(opened.parameters, f"{name}.", reader),
            place_submodules=True,
        )
        add_hook_to_module(layer, hook)
    return opened.model


def layers_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the members of the outermost module lists with their names: layers, whatever they are called."""
    yield from _members(model, "")


def layer_count(model: Any) -> int:
    """Return how many layers the longest of a model's stacks has."""
    stacks = Counter(name.rpartition(".")[0] for name, _ in layers_of(model))
    return max(stacks.values(), default=0)


def _members(module: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in module.named_children():
        listed = isinstance(module, torch.nn.ModuleList)
        if listed and not isinstance(child, torch.nn.ModuleList | torch.nn.ModuleDict):
            yield path + name, child
        else:
            yield from _members(child, f"{path}{name}.")
