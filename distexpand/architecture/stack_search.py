"""Find layer stacks by structure, not by a list of models.

Tensor names that differ in one number only form a run, and a run whose length
is a layer count of the config is a stack. Only the first number in a name
counts. Of several stacks the language model's or decoder's is the one that is
meant, unless another is named.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from distexpand.architecture.counts import (
    DECODER_COUNTS,
    ENCODER_COUNTS,
    GENERIC_COUNTS,
    Count,
    layer_counts,
    layers_beyond,
)
from distexpand.architecture.stack_places import agreement, is_decoder, is_encoder, rank, side_kinds
from distexpand.errors import ArchitectureError

_FIRST_NUMBER = re.compile(r"((?:[^.]*[^.\d][^.]*\.)*)(0|[1-9][0-9]{0,8})(\.|$)", re.DOTALL)
"""At most nine digits: a stranger's name mustn't cost anything to read as a number."""

_EXTRA_LAYER = re.compile(r"^(eh_proj|enorm|hnorm|shared_head|embed_tokens|mtp|nextn)")
"""What only a layer for predicting further tokens has."""

_LAYERS = re.compile(r"(^|\.)(layers?|h|blocks?)\.$")
_FEW_LAYERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Numbers that follow one prefix, from 0 to `length` - 1, without a gap."""

    prefix: str
    length: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run that a count speaks of; see `LayerStack` for the rest."""

    prefix: str
    length: int
    count: Count
    score: int
    tensors: int
    also_counted: tuple[tuple[str, ...], ...] = ()
    companions: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


def search(names: Iterable[str], config: Mapping[str, Any], *, origin: str) -> list[Found]:
    """Return every stack, the first of them the one that is meant where none is named.

    Raises:
        ArchitectureError: no run of layers agrees with a count in the config.
    """
    names = list(names)
    runs = _runs(names)
    counts = layer_counts(config)
    has_decoder = any(is_decoder(run.prefix) for run in runs)
    extra = _extra_layers(names, runs)
    found = [
        Found(prefix=run.prefix, length=run.length, count=count, score=score, tensors=run.tensors)
        for run in runs
        for count in counts
        if _agree(run, count, config, extra)
        for score in (agreement(run.prefix, count, has_decoder=has_decoder),)
    ]
    best = [max(group, key=_fitness) for _, group in groupby(found, key=lambda stack: stack.prefix)]
    if not best:
        raise _no_run(runs, counts, config, origin)
    strong = [stack for stack in best if stack.score >= 0] or best
    together = _with_companions(strong)
    prefixes = [stack.prefix for stack in together]
    ordered = sorted(together, key=lambda stack: (rank(stack.prefix, prefixes), stack.prefix))
    return [
        replace(
            stack,
            also_counted=_also_counted(stack, config, prefixes),
            unclear=tuple(run.prefix for run in runs if _is_unclear(stack, run)),
        )
        for stack in ordered
    ]


def choose(found: Sequence[Found], wanted: str, *, origin: str) -> Found:
    """Return the stack that is wanted, the first where nothing is.

    Raises:
        ArchitectureError: none or several are what is wanted, or it can't be expanded alone.
    """
    prefixes = [stack.prefix for stack in found]
    known = ", ".join(prefix.rstrip(".") for prefix in prefixes)
    if wanted:
        chosen = _named(found, wanted)
    else:
        first = rank(found[0].prefix, prefixes)
        chosen = [stack for stack in found if rank(stack.prefix, prefixes) == first]
    if not chosen:
        raise ArchitectureError(
            f"{origin}: the model has no stack of layers {wanted!r}; it has {known}",
            hint="Name it by the part of the tensors' names before the layer's number.",
        )
    if len(chosen) > 1:
        several = " and ".join(stack.prefix for stack in chosen)
        raise ArchitectureError(
            f"{origin}: the model has several stacks of layers, {several}, "
            "and it isn't clear which to expand",
            hint=f"Name one as `stack: {prefixes[0].rstrip('.')}`, or give each its slices under `modules:`.",
        )
    _check_own_count(chosen[0], found, origin)
    return chosen[0]


def _named(found: Sequence[Found], wanted: str) -> list[Found]:
    name = wanted.strip(".")
    exact = [stack for stack in found if stack.prefix.rstrip(".") == name]
    if exact:
        return exact
    inside = [stack for stack in found if f".{name}." in f".{stack.prefix}"]
    return inside or _by_role(found, name)


def _by_role(found: Sequence[Found], name: str) -> list[Found]:
    """Return what a plain word such as mergekit's `text_decoder` speaks of."""
    prefixes = [stack.prefix for stack in found]
    first = [stack for stack in found if rank(stack.prefix, prefixes) == 0]
    if name in {"default", "text", "text_decoder", "text_model", "language_model", "decoder"}:
        return first
    kinds = side_kinds(name)
    if kinds:
        return [stack for stack in found if kinds & side_kinds(stack.prefix)]
    return [stack for stack in found if is_encoder(stack.prefix)] if is_encoder(name) else []


def _check_own_count(chosen: Found, found: Sequence[Found], origin: str) -> None:
    for other in found:
        if other.prefix != chosen.prefix and other.count.path == chosen.count.path:
            raise ArchitectureError(
                f"{origin}: config.json: {'.'.join(chosen.count.path)!r} counts the layers of both "
                f"{chosen.prefix} and {other.prefix}, so that they can't differ in number"
            )


def _runs(names: Iterable[str]) -> list[Run]:
    indices: dict[str, set[int]] = {}
    tensors: dict[str, int] = {}
    for name in names:
        match = _FIRST_NUMBER.match(name)
        if match:
            prefix = match[1]
            indices.setdefault(prefix, set()).add(int(match[2]))
            tensors[prefix] = tensors.get(prefix, 0) + 1
    return [
        Run(prefix=prefix, length=len(found), tensors=tensors[prefix])
        for prefix, found in sorted(indices.items())
        if len(found) == max(found) + 1
    ]


def _extra_layers(names: Iterable[str], runs: Iterable[Run]) -> dict[str, int]:
    """Return the first of the last layers that have what only a layer beyond the count has, by prefix."""
    lasts = {run.prefix: run.length for run in runs if run.length > 1}
    extra: dict[str, set[int]] = {}
    for name in names:
        match = _FIRST_NUMBER.match(name)
        if match and match[1] in lasts and _EXTRA_LAYER.match(name[match.end() :]):
            extra.setdefault(match[1], set()).add(int(match[2]))
    return {prefix: min(found) for prefix, found in extra.items() if max(found) + 1 == lasts[prefix]}


def _agree(run: Run, count: Count, config: Mapping[str, Any], extra: Mapping[str, int]) -> bool:
    if run.length == count.value:
        return True
    beyond = run.length - count.value
    if beyond <= 0 or count.by_length:
        return False
    return extra.get(run.prefix) == count.value or beyond == layers_beyond(config, count)


def _fitness(stack: Found) -> tuple[int, bool, int]:
    return stack.score, stack.length == stack.count.value, len(stack.count.path)


def _with_companions(found: list[Found]) -> list[Found]:
    """Join runs that number the same layers: of one count, and side by side or alike in structure."""
    groups: dict[tuple[str, ...], list[Found]] = {}
    for stack in found:
        groups.setdefault(stack.count.path, []).append(stack)
    result = []
    for group in groups.values():
        waiting = sorted(group, key=lambda stack: (not _LAYERS.search(stack.prefix), -stack.tensors))
        while waiting:
            first, *rest = waiting
            joined = [stack for stack in rest if _same_layers(first, stack)]
            result.append(replace(first, companions=tuple(sorted(stack.prefix for stack in joined))))
            waiting = [stack for stack in rest if stack not in joined]
    return result


def _same_layers(first: Found, other: Found) -> bool:
    if first.length != other.length or _part(first.prefix) != _part(other.prefix):
        return False
    parent, leaf = _parent(first.prefix)
    grandparent, _ = _parent(parent)
    if other.prefix.startswith(parent):
        return True
    return other.prefix.startswith(grandparent) and _parent(other.prefix)[1] == leaf


def _is_unclear(stack: Found, run: Run) -> bool:
    """Whether a run beside the stack is one off its length: layers' tensors, but it can't be said whose."""
    parent, _ = _parent(stack.prefix)
    return (
        stack.length > _FEW_LAYERS
        and abs(run.length - stack.length) == 1
        and run.prefix.startswith(parent)
        and _part(run.prefix) == _part(stack.prefix)
    )


def _part(prefix: str) -> tuple[bool, bool, frozenset[str]]:
    return is_encoder(prefix), is_decoder(prefix), side_kinds(prefix)


def _parent(prefix: str) -> tuple[str, str]:
    head, dot, leaf = prefix.rstrip(".").rpartition(".")
    return head + dot, leaf


def _also_counted(
    stack: Found, config: Mapping[str, Any], prefixes: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """Return the other places that repeat the stack's count, such as aliases and outer levels."""
    if stack.count.by_length:
        return ()
    own = {*GENERIC_COUNTS, stack.count.key}
    decoder_says = any(count.key in DECODER_COUNTS for count in layer_counts(config))
    if stack.count.key in DECODER_COUNTS:
        own = set(DECODER_COUNTS)
    elif stack.count.key in ENCODER_COUNTS:
        own = {*ENCODER_COUNTS, *(GENERIC_COUNTS if decoder_says else ())}
    inner = stack.count.path[:-1]
    outers = [inner[:depth] for depth in range(len(inner))] if rank(stack.prefix, prefixes) == 0 else []
    return tuple(
        count.path
        for count in layer_counts(config)
        if not count.by_length
        and count.value == stack.count.value
        and count.path != stack.count.path
        and (
            (count.path[:-1] == inner and count.key in own)
            or (count.path[:-1] in outers and count.key in GENERIC_COUNTS)
        )
    )


def _no_run(
    runs: Sequence[Run], counts: Sequence[Count], config: Mapping[str, Any], origin: str
) -> ArchitectureError:
    found = ", ".join(f"{run.prefix}0..{run.length - 1}" for run in runs[:6]) or "none"
    numbers = [count for count in counts if not count.by_length]
    said = ", ".join(f"{'.'.join(count.path)} = {count.value}" for count in numbers) or "none"
    return ArchitectureError(
        f"{origin}: no run of layers agrees with the config; runs found: {found}; counts found: {said}",
        hint=_why_no_run(runs, numbers, config),
    )


def _why_no_run(runs: Sequence[Run], counts: Sequence[Count], config: Mapping[str, Any]) -> str:
    if type(config.get("num_hidden_groups")) is int:
        return "All layers share the weights of a few groups; the depth is a number in config.json only."
    if any(count.value < run.length for run in runs for count in counts):
        return (
            "There are more layers than the config counts; if they are for multi-token prediction, "
            "config.json has to say so in 'num_nextn_predict_layers'."
        )
    return "Weights and config.json may belong to different models, or shards may be missing."
