"""The layer stack: the run of repeated blocks that a recipe cuts and stacks.

What a stack is and how its tensors are named; finding one is the business of
`search`. Only the number that follows the prefix is a layer's, so that
experts inside a layer are never taken for layers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from distexpand.architecture.stacks.choice import Found, choose
from distexpand.architecture.stacks.counts import COUNT_KEYS
from distexpand.architecture.stacks.search import search

__all__ = ["COUNT_KEYS", "LayerStack", "find_layer_stack", "find_layer_stacks"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""At most nine digits: a stranger's name mustn't cost anything to read as a number."""


@lru_cache(maxsize=1024)
def _is_number(text: str) -> bool:
    """Whether a part of a name is a number; the same few stand in very many names."""
    return _NUMBER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStack:
    """Where a model's layers are.

    Tensors of layer i are named `prefix` + i + `.` + suffix (`model.layers.` and so on).
    `count_path` leads to the layer count in the config, `("text_config",
    "num_hidden_layers")` for a nested one; `count_paths` to every place that holds the same
    count. `companions` are further prefixes whose numbers are those of the same layers;
    `beyond` is the number of layers stored behind the count, `unclear` the
    prefixes of numbers beside the stack that may or may not be its layers'. The config counts
    `blocks` for each layer.
    """

    prefix: str
    num_layers: int
    count_path: tuple[str, ...]
    blocks: int = 1
    also_counted: tuple[tuple[str, ...], ...] = ()
    companions: tuple[str, ...] = ()
    beyond: int = 0
    unclear: tuple[str, ...] = ()

    @property
    def count_paths(self) -> tuple[tuple[str, ...], ...]:
        """Every place in the config that holds the count."""
        return (self.count_path, *self.also_counted)

    def split(self, name: str) -> tuple[int, str] | None:
        """Return layer index and suffix of a tensor of the stack, or nothing for another.

        The index is `num_layers` or more for a layer beyond the count. The suffix of a
        companion's tensor holds the companion's prefix and a `*` for the number.
        """
        if name.startswith(self.prefix):
            number, dot, suffix = name[len(self.prefix) :].partition(".")
            if dot and suffix and _is_number(number):
                return int(number), suffix
        for companion in self.companions:
            if name.startswith(companion):
                number, dot, rest = name[len(companion) :].partition(".")
                if _is_number(number) and bool(dot) == bool(rest):
                    return int(number), f"{companion}*{dot}{rest}"
        return None

    def name(self, layer: int, suffix: str) -> str:
        """Return the full name of a layer's tensor."""
        for companion in self.companions:
            if suffix.startswith(f"{companion}*"):
                return f"{companion}{layer}{suffix[len(companion) + 1 :]}"
        return f"{self.prefix}{layer}.{suffix}"


def find_layer_stack(
    names: Iterable[str], config: Mapping[str, Any], *, origin: str, wanted: str = ""
) -> LayerStack:
    """Find a stack from tensor names and the config's layer counts.

    Args:
        names: all tensor names of the model.
        config: its whole config.
        origin: the model's name, for messages.
        wanted: the stack's prefix or a part of it, as the user names it; empty for the
            language model's or decoder's.

    Raises:
        ArchitectureError: no run of layers agrees with a count in the config, more than
            one does, or none is what is wanted; says what counts and runs were found.
    """
    found = search(names, config, origin=origin)
    return _stack(choose(found, wanted, origin=origin))


def find_layer_stacks(
    names: Iterable[str], config: Mapping[str, Any], *, origin: str
) -> tuple[LayerStack, ...]:
    """Return every stack of a model, the language model's or decoder's before the others.

    Raises:
        ArchitectureError: no run of layers agrees with a count in the config.
    """
    return tuple(_stack(found) for found in search(names, config, origin=origin))


def _stack(found: Found) -> LayerStack:
    return LayerStack(
        prefix=found.prefix,
        num_layers=found.count.value,
        count_path=found.count.path,
        blocks=found.count.blocks,
        also_counted=found.also_counted,
        companions=found.companions,
        beyond=found.length - found.count.value,
        unclear=found.unclear,
    )
