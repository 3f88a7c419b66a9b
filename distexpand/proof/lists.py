"""Lists that a config holds per layer, as transformers reads it: each entry has to follow its layer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distexpand.proof.request import Question

_LAYER_INDICES = re.compile(r"layers?_(ids|idxs?|indices|indexes)$|_layers$")


def list_problem(config: Any, sources: Mapping[str, Any], question: Question, count: int) -> str:
    """Say which list's entry isn't that of the layer's source, or nothing.

    Args:
        config: the output's.
        sources: models of the sources, by name.
        question: says where each layer comes from.
        count: layers of the base model; what is as long there and grows with the stack is per layer.
    """
    per_source = {name: dict(_lists(model.config, "")) for name, model in sources.items()}
    for path, values in _lists(config, ""):
        known = per_source[question.base].get(path, [])
        if _are_indices(known, count):
            named = _LAYER_INDICES.search(path) is not None
            problem = _index_problem(path, values, known, question) if named else ""
            if problem:
                return problem
            continue
        if len(known) != count or len(values) != len(question.layers) or len(values) == count:
            continue
        for index, layer in enumerate(question.layers):
            theirs = per_source[layer.model].get(path, [])
            if not layer.identity and layer.layer < len(theirs) and theirs[layer.layer] != values[index]:
                return (
                    f"layer {index} would run with {path} = {values[index]!r}; its source, "
                    f"layer {layer.layer} of {layer.model}, ran with {theirs[layer.layer]!r}"
                )
    return ""


def _are_indices(values: Sequence[Any], count: int) -> bool:
    """Whether a list may name some of the layers by their index, rather than have an entry for each."""
    return (
        bool(values)
        and all(type(value) is int and 0 <= value <= count for value in values)
        and len(set(values)) == len(values)
    )


def _index_problem(path: str, values: Sequence[Any], known: Sequence[int], question: Question) -> str:
    """Judge a list of indices, which may count from one."""
    problem = ""
    for start in (0, 1):
        named = {value - start for value in values if type(value) is int}
        origins = {value - start for value in known}
        wrong = [
            index
            for index, layer in enumerate(question.layers)
            if layer.model == question.base
            and not layer.identity
            and (index in named) != (layer.layer in origins)
        ]
        if not wrong:
            return ""
        index = wrong[0]
        are = "is" if index in named else "isn't"
        problem = problem or (
            f"layer {index} {are} in {path}, unlike its source, layer {question.layers[index].layer} "
            f"of {question.base}"
        )
    return problem


def _lists(config: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    for key, value in vars(config).items():
        if isinstance(value, list) and not key.startswith("_"):
            yield f"{path}{key}", value
        elif hasattr(value, "to_dict"):
            yield from _lists(value, f"{path}{key}.")
