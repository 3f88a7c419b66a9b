"""Configs that count blocks instead of layers: every part of a layer as one of its own (Dory).

Such a config has `blocks` entries for each layer, `["sliding_attention", "mlp",
...]`, and its layer count is as many times too high. It is read in layers by
everything (`in_layers`), and what is written is put back in blocks
(`in_blocks`). Found by structure: the count is a multiple of a run of layers,
and a list of that length has the same word in each further place of a layer,
which names a part of every layer. So half of a model, whose other shards are
missing, isn't taken for one. Rejected: groups of entries wherever a list or a
rule is read.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from distexpand.architecture.stacks.counts import COUNT_KEYS, Count
from distexpand.architecture.stacks.runs import Run, parts_of_layers

_COUNTS_LAYERS = re.compile(r"(^|_)layers$")
"""Names of counts of some of the layers, such as `n_input_layers`."""


def counts_of_blocks(
    names: Iterable[str], config: Mapping[str, Any], counts: Sequence[Count], runs: Sequence[Run]
) -> Iterator[Count]:
    """Yield a count in layers for every count that is in blocks of the layers of a run."""
    by_length: dict[int, list[Run]] = {}
    for run in runs:
        by_length.setdefault(run.length, []).append(run)
    candidates = [
        (replace(count, value=length, blocks=count.value // length), words, by_length[length])
        for count in counts
        for length in by_length
        if not count.by_length and count.value > length and not count.value % length
        for words in _words(_level(config, count), count.value, count.value // length)
    ]
    parts = parts_of_layers(names) if candidates else {}
    for count, words, alike in candidates:
        if any(_have_parts(run, words, parts) for run in alike):
            yield count


def in_layers(level: Mapping[str, Any], num_layers: int, blocks: int) -> Mapping[str, Any]:
    """Return a level of the config with its lists and counts in layers; one that has them so as it is."""
    total = num_layers * blocks
    if blocks == 1 or not any(level.get(key) == total for key in COUNT_KEYS):
        return level
    return {key: _in_layers(key, value, total, blocks) for key, value in level.items()}


def _in_layers(key: str, value: Any, total: int, blocks: int) -> Any:
    if isinstance(value, list) and len(value) == total:
        groups = _groups(value, blocks)
        return [group[0] for group in groups] if _further(groups) else groups
    counts = type(value) is int and (key in COUNT_KEYS or _COUNTS_LAYERS.search(key))
    return value // blocks if counts and value % blocks == 0 else value


def in_blocks(path: str, old: Any, new: Any, num_layers: int, blocks: int) -> Any:
    """Return a new value in layers as its config has it.

    Args:
        path: where it lies.
        old: what the config has there now, in blocks.
        new: the value.
        num_layers: how many layers the old value is for.
        blocks: how many the config counts for each.
    """
    if type(new) is int and _COUNTS_LAYERS.search(path):
        return new * blocks
    if blocks == 1 or not isinstance(old, list) or len(old) != num_layers * blocks:
        return new
    further = _further(_groups(old, blocks))
    groups = [[entry, *further] for entry in new] if further else new
    return [entry for group in groups for entry in group]


def _level(config: Mapping[str, Any], count: Count) -> Mapping[str, Any]:
    for key in count.path[:-1]:
        config = config[key]
    return config


def _groups(entries: Sequence[Any], blocks: int) -> list[list[Any]]:
    return [list(entries[at : at + blocks]) for at in range(0, len(entries), blocks)]


def _further(groups: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Return what each group has behind its first entry, if it is the same in all."""
    first = groups[0][1:]
    return first if all(group[1:] == first for group in groups) else ()


def _words(level: Mapping[str, Any], total: int, blocks: int) -> Iterator[frozenset[str]]:
    """Yield the words in a layer's further places, of lists that have the same there for every layer."""
    for value in level.values():
        if isinstance(value, list) and len(value) == total:
            further = _further(_groups(value, blocks))
            if further and all(isinstance(word, str) for word in further):
                yield frozenset(further)


def _have_parts(run: Run, words: frozenset[str], parts: Mapping[tuple[str, int], Collection[str]]) -> bool:
    """Whether every layer has tensors of every part, and others beside them."""
    return all(words < set(parts.get((run.prefix, layer), ())) for layer in range(run.length))
