"""Find layer stacks by structure, not by a list of models.

Tensor names that differ in one number only form a run, and a run whose length
is a layer count of the config is a stack. Only the first number in a name
counts. Of several stacks the language model's or decoder's is the one that is
meant, unless another is named.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from distexpand.architecture.stacks.blocks import counts_of_blocks
from distexpand.architecture.stacks.choice import Found
from distexpand.architecture.stacks.counts import (
    DECODER_COUNTS,
    ENCODER_COUNTS,
    GENERIC_COUNTS,
    Count,
    layer_counts,
    layers_beyond,
)
from distexpand.architecture.stacks.places import agreement, is_decoder, is_encoder, rank, side_kinds
from distexpand.architecture.stacks.runs import Run, extra_layers, number_runs
from distexpand.errors import ArchitectureError

_LAYERS = re.compile(r"(^|\.)(layers?|h|blocks?)\.$")
_FEW_LAYERS = 4


def search(names: Iterable[str], config: Mapping[str, Any], *, origin: str) -> list[Found]:
    """Return every stack, the first of them the one that is meant where none is named.

    Raises:
        ArchitectureError: no run of layers agrees with a count in the config.
    """
    names = list(names)
    runs = number_runs(names)
    said = layer_counts(config)
    counts = [*said, *counts_of_blocks(names, config, said, runs)]
    has_decoder = any(is_decoder(run.prefix) for run in runs)
    extra = extra_layers(names, runs)
    found = [
        Found(prefix=run.prefix, length=run.length, count=count, score=score, tensors=run.tensors)
        for run in runs
        for count in counts
        if _agree(run, count, config, extra)
        for score in (agreement(run.prefix, count, has_decoder=has_decoder),)
    ]
    best = [max(group, key=_fitness) for _, group in groupby(found, key=lambda stack: stack.prefix)]
    if not best:
        raise _no_run(runs, said, config, origin)
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
        and count.value == stack.count.value * stack.count.blocks
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
