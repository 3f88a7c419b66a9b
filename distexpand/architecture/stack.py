"""Find the layer stack: the run of repeated blocks that a recipe cuts and stacks.

Found by structure, not by a list of models: tensor names that differ in one
number only form a run, and the run whose length is the config's layer count is
the stack. Only the first number in a name counts, so experts inside a layer
are never taken for layers. A tower for pictures or sound that happens to be as
deep as the language model isn't taken for it; of two stacks that are left,
such as an encoder and a decoder, none is chosen.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.errors import ArchitectureError

COUNT_KEYS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
    "num_decoder_layers",
    "decoder_layers",
    "encoder_layers",
)
NESTED_CONFIGS = ("text_config", "llm_config", "language_config", "decoder")

_FIRST_NUMBER = re.compile(r"((?:[^.]*[^.\d][^.]*\.)*)(0|[1-9][0-9]{0,8})\.(.+)", re.DOTALL)
"""At most nine digits: a stranger's name mustn't cost anything to read as a number."""

_TOWER = re.compile(r"(^|[._])(vision|visual|vit|image|img|audio|speech)[._]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStack:
    """Where a model's layers are.

    Tensors of layer i are named `prefix` + i + `.` + suffix (`model.layers.` and so on).
    `count_path` leads to the layer count in the config, `("text_config",
    "num_hidden_layers")` for a nested one.
    """

    prefix: str
    num_layers: int
    count_path: tuple[str, ...]

    def split(self, name: str) -> tuple[int, str] | None:
        """Return layer index and suffix of a tensor of the stack, or nothing for another."""
        match = _FIRST_NUMBER.fullmatch(name)
        return (int(match[2]), match[3]) if match and match[1] == self.prefix else None

    def name(self, layer: int, suffix: str) -> str:
        """Return the full name of a layer's tensor."""
        return f"{self.prefix}{layer}.{suffix}"


def find_layer_stack(names: Iterable[str], config: Mapping[str, Any], *, origin: str) -> LayerStack:
    """Find the stack from tensor names and the config's layer count.

    Raises:
        ArchitectureError: no run of layers, or more than one, agrees with a count in the
            config; says what counts and runs were found.
    """
    runs = _runs(names)
    counts = list(_counts(config))
    matches = [
        LayerStack(prefix=prefix, num_layers=count, count_path=path)
        for path, count in counts
        for prefix, indices in runs.items()
        if len(indices) == count == max(indices) + 1
    ]
    matches = [stack for stack in matches if not _TOWER.search(stack.prefix)] or matches
    if not matches:
        raise _no_run(runs, counts, origin)
    prefixes = sorted({stack.prefix for stack in matches})
    if len(prefixes) > 1:
        raise ArchitectureError(
            f"{origin}: the model has several stacks of layers, {' and '.join(prefixes)}, "
            "and it isn't clear which to expand",
            hint="Encoder-decoder models aren't supported.",
        )
    return max(matches, key=lambda stack: len(stack.count_path))


def _no_run(
    runs: Mapping[str, set[int]], counts: list[tuple[tuple[str, ...], int]], origin: str
) -> ArchitectureError:
    found = ", ".join(f"{prefix}0..{max(indices)}" for prefix, indices in sorted(runs.items())[:6]) or "none"
    said = ", ".join(f"{'.'.join(path)} = {count}" for path, count in counts) or "none"
    beyond = any(count < len(run) == max(run) + 1 for run in runs.values() for _, count in counts)
    return ArchitectureError(
        f"{origin}: no run of layers agrees with the config; runs found: {found}; counts found: {said}",
        hint="Layers beyond the config's count, such as for multi-token prediction, aren't supported."
        if beyond
        else "Weights and config.json may belong to different models, or shards may be missing.",
    )


def _runs(names: Iterable[str]) -> dict[str, set[int]]:
    runs: dict[str, set[int]] = defaultdict(set)
    for name in names:
        match = _FIRST_NUMBER.fullmatch(name)
        if match:
            runs[match[1]].add(int(match[2]))
    return dict(runs)


def _counts(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    for outer in ((), *((key,) for key in NESTED_CONFIGS)):
        level = config.get(outer[0]) if outer else config
        if not isinstance(level, Mapping):
            continue
        for key in COUNT_KEYS:
            count = level.get(key)
            if type(count) is int and count > 0:
                yield (*outer, key), count
