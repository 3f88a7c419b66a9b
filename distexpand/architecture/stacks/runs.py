"""Runs of numbers in tensor names: what may be a stack of layers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FIRST_NUMBER = re.compile(r"((?:[^.]*[^.\d][^.]*\.)*)(0|[1-9][0-9]{0,8})(\.|$)", re.DOTALL)
"""At most nine digits: a stranger's name mustn't cost anything to read as a number."""

_EXTRA_LAYER = re.compile(r"^(eh_proj|enorm|hnorm|shared_head|embed_tokens|mtp|nextn)")
"""What only a layer for predicting further tokens has."""

_MOST_EXTRA = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Numbers that follow one prefix, from 0 to `length` - 1, without a gap."""

    prefix: str
    length: int
    tensors: int


def number_runs(names: Iterable[str]) -> list[Run]:
    """Return the runs without a gap, by the first number in each name."""
    indices: dict[str, set[int]] = {}
    tensors: dict[str, int] = {}
    prefix, layer = "", "."
    for name in names:
        if not name.startswith(layer):  # most names are of the same layer as the one before
            match = _FIRST_NUMBER.match(name)
            if not match:
                continue
            prefix, layer = match[1], match[0] if match[3] else f"{match[0]}."
            indices.setdefault(prefix, set()).add(int(match[2]))
        tensors[prefix] = tensors.get(prefix, 0) + 1
    return [
        Run(prefix=prefix, length=len(found), tensors=tensors[prefix])
        for prefix, found in sorted(indices.items())
        if len(found) == max(found) + 1
    ]


def parts_of_layers(names: Iterable[str]) -> dict[tuple[str, int], set[str]]:
    """Return the first words behind the number of every prefix and number."""
    parts: dict[tuple[str, int], set[str]] = {}
    for name in names:
        match = _FIRST_NUMBER.match(name)
        if match:
            part = name[match.end() :].partition(".")[0]
            parts.setdefault((match[1], int(match[2])), set()).add(part)
    return parts


def extra_layers(names: Iterable[str], runs: Sequence[Run]) -> dict[str, int]:
    """Return the first of the last layers that have what only a layer beyond the count has, by prefix."""
    lasts = {
        f"{run.prefix}{index}.": (run.prefix, index)
        for run in runs
        for index in range(max(run.length - _MOST_EXTRA, 1), run.length)
    }
    heads = tuple(lasts)
    extra: dict[str, list[int]] = {}
    for name in names:
        if name.startswith(heads):
            match = _FIRST_NUMBER.match(name)
            if match and _EXTRA_LAYER.match(name[match.end() :]):
                prefix, index = lasts[match[0]]
                extra.setdefault(prefix, []).append(index)
    ends = {run.prefix: run.length - 1 for run in runs}
    return {prefix: min(found) for prefix, found in extra.items() if max(found) == ends[prefix]}
