"""Does every output layer run as its source layer ran?

Two models on the meta device tell: whatever a class decides by a layer's place
ends as a plain value in its modules, or as a list in the config that it reads
while it runs. So no rule of any config has to be known here. What a class
decides inside its forward pass by comparing a layer's number is out of reach.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distexpand.proof.facts import Facts, layer_facts
from distexpand.proof.lists import list_problem
from distexpand.proof.request import ProvenLayer, Question

_SPEAKS_OF_PLACE = re.compile(r"layer|idx|index|depth|block|position|number", re.IGNORECASE)


def kind_problem(output: Any, sources: Mapping[str, Any], question: Question) -> str:
    """Say which layer of the output would run otherwise than its source layer, or nothing.

    Args:
        output: the expanded model, on the meta device.
        sources: models of the sources, by name.
        question: says where each layer comes from.
    """
    known: dict[tuple[str, int], Facts] = {}
    for path in _stacks(output, sources, question):
        count = len(sources[question.base].get_submodule(path))
        problem = list_problem(output.config, sources, question, count)
        if problem:
            return problem
        layers = output.get_submodule(path)
        shared = _shared(output, path)
        for index, origin in enumerate(question.layers):
            if origin.identity:
                continue
            key = origin.model, origin.layer
            if key not in known:
                model = sources[origin.model]
                known[key] = layer_facts(model.get_submodule(path)[origin.layer], _shared(model, path))
            facts = layer_facts(layers[index], shared)
            problem = _difference(facts, known[key], index, question)
            if problem:
                return problem
        known.clear()
    return ""


def _stacks(output: Any, sources: Mapping[str, Any], question: Question) -> Iterator[str]:
    """Yield the paths of module lists that follow the layers."""
    from torch.nn import ModuleList  # noqa: PLC0415

    lists = {
        name: len(module)
        for name, module in sources[question.base].named_modules()
        if isinstance(module, ModuleList)
    }
    needed = 1 + max((layer.layer for layer in question.layers if layer.model == question.base), default=0)
    for name, module in output.named_modules():
        if not isinstance(module, ModuleList) or len(module) != len(question.layers):
            continue
        grown = name in lists and lists[name] != len(module) and lists[name] >= needed
        if grown or _is_prefix(name, question.prefix):
            yield name


def _is_prefix(name: str, prefix: str) -> bool:
    """Whether a module is the stack that tensors on disk are named after."""
    return f"{name}.".endswith(prefix) or prefix.endswith(f".{name}.")


def _shared(model: Any, path: str) -> frozenset[int]:
    """Return ids of configs that belong to several layers or to the whole model; they say nothing of one."""
    at = f"{path}."
    holders: dict[int, set[str]] = {}
    for name, module in model.named_modules():
        holder = name[len(at) :].partition(".")[0] if name.startswith(at) else ""
        for value in vars(module).values():
            if hasattr(value, "to_dict"):
                holders.setdefault(id(value), set()).add(holder)
    return frozenset(key for key, names in holders.items() if len(names) > 1 or "" in names)


def _difference(facts: Facts, origin: Facts, index: int, question: Question) -> str:
    layer = question.layers[index]
    for path in sorted(facts.keys() | origin.keys()):
        here, there = facts.get(path, "absent"), origin.get(path, "absent")
        if _is_of_the_model(here, there, question):
            continue
        if here != there and not (
            _SPEAKS_OF_PLACE.search(path) and _is_same_place(here, there, index, question.layers)
        ):
            return (
                f"layer {index} would run with {path} = {here!r}; its source, layer {layer.layer} "
                f"of {layer.model}, ran with {there!r}"
            )
    return ""


def _is_of_the_model(here: Any, there: Any, question: Question) -> bool:
    """Whether a layer holds a list of all layers, which is judged as the config's."""
    return (
        isinstance(here, tuple)
        and isinstance(there, tuple)
        and len(here) == len(question.layers)
        and len(there) > max(layer.layer for layer in question.layers)
    )


def _is_same_place(here: Any, there: Any, index: int, layers: Sequence[ProvenLayer]) -> bool:
    """Whether two numbers name a layer's own place, counted from any start, or corresponding layers."""
    if type(here) is not int or type(there) is not int:
        return False
    if here - index == there - layers[index].layer:
        return True
    if here - 2 * index == there - 2 * layers[index].layer in {0, 1}:  # two parts in each layer, numbered on
        return True
    return 0 <= here < len(layers) and (layers[here].model, layers[here].layer) == (
        layers[index].model,
        there,
    )
