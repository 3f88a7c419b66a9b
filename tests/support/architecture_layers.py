"""What each layer of a running model is given and answers, and what it would answer to something else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

_CLOSE = 1e-5


States: TypeAlias = Mapping[int | str, torch.Tensor]
"""What a layer is given of the model's state, by position or name: hidden states, and answers of layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One layer's run: the states that it was given, and its answer."""

    states: States
    answer: torch.Tensor


Replay: TypeAlias = Callable[[int, States], torch.Tensor | None]


class _AnsweredError(Exception):
    """Ends a forward pass as soon as the layer in question has answered."""


def record(run: Callable[[], object], layers: Any) -> dict[int, Step]:
    """Run a model and return each layer's first step by its index."""
    steps: dict[int, Step] = {}
    answered: list[torch.Tensor] = []  # kept, so that no id is used again

    def keep(index: int) -> Callable[..., None]:
        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> None:
            states = {at: tensor.clone() for at, tensor in _states(args, kwargs, answered).items()}
            steps.setdefault(index, Step(states=states, answer=_first(answer).clone()))
            parts = answer if isinstance(answer, tuple | list) else [answer]
            answered.extend(part for part in parts if isinstance(part, torch.Tensor))

        return hook

    handles = [layer.register_forward_hook(keep(i), with_kwargs=True) for i, layer in enumerate(layers)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return steps


def replay(run: Callable[[], object], layer: Any, states: States) -> torch.Tensor | None:
    """Run a model with other states put in at a layer; return the layer's answer, if it ran."""
    answers: list[torch.Tensor] = []

    def put(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        swapped = tuple(states.get(at, value) for at, value in enumerate(args))
        return swapped, {key: states.get(key, value) for key, value in kwargs.items()}

    def take(_: Any, __: Any, answer: Any) -> None:
        answers.append(_first(answer).clone())
        raise _AnsweredError

    handles = [layer.register_forward_pre_hook(put, with_kwargs=True), layer.register_forward_hook(take)]
    try:
        run()
    except _AnsweredError:
        return answers[0]
    finally:
        for handle in handles:
            handle.remove()
    return None


def first_other_layer(source: Replay, output: Mapping[int, Step], pairs: Sequence[tuple[int, int]]) -> str:
    """Say which output layer first answers other than its source layer does, or nothing.

    Args:
        source: answers a source layer's index and hidden states.
        output: steps of the output's layers.
        pairs: output layer and its source layer.
    """
    for index, origin in pairs:
        step = output.get(index)
        if step is None:
            if source(origin, {}) is None:
                continue
            return f"layer {index} never runs, and its source layer {origin} does"
        expected = source(origin, step.states)
        if expected is None:
            return f"layer {index} runs, and its source layer {origin} doesn't"
        if expected.shape != step.answer.shape:
            return f"layer {index} answers in another shape than its source layer {origin}"
        scale = max(1.0, expected.abs().max().item())
        difference = (expected - step.answer).abs().max().item()
        if not difference <= _CLOSE * scale:
            return f"layer {index} answers otherwise than its source layer {origin}: by {difference:.3g}"
    return ""


def _states(args: tuple[Any, ...], kwargs: Mapping[str, Any], answered: Sequence[torch.Tensor]) -> States:
    given: dict[int | str, Any] = {**dict(enumerate(args)), **kwargs}
    tensors = {at: value for at, value in given.items() if isinstance(value, torch.Tensor)}
    hidden = next((tensor for tensor in tensors.values() if _may_be_hidden(tensor)), None)
    from_layers = set(map(id, answered))
    return {
        at: tensor
        for at, tensor in tensors.items()
        if id(tensor) in from_layers
        or (hidden is not None and _may_be_hidden(tensor) and tensor.shape == hidden.shape)
    }


def _may_be_hidden(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 1


def _first(answer: Any) -> torch.Tensor:
    while not isinstance(answer, torch.Tensor):
        answer = next(part for part in answer if part is not None)
    return answer
