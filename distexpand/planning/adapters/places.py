"""Names of a checkpoint's tensors that differ from an adapter's only in what wraps what.

transformers renames the tensors of many an image-text class on loading: `language_model.model.layers.`,
or `model.layers.`, becomes `model.language_model.layers.`, and back on saving. PEFT's names are those of
the loaded modules. Their order in front of the layer's number changes, and words that only say which
class wraps which come and go; every other word stays, so that two names that are equal without these
are of one tensor, if no third one is. Rejected: its table of renamings, which is long, changes with
every release, and isn't told by a checkpoint.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from distexpand.planning.sources import SourceModel

Place: TypeAlias = tuple[int | None, str]
"""An adapter's layer and the suffix of a tensor in it, or nothing and the full name of one outside."""

_WRAPPERS = {"model", "language_model", "text_model"}
_INNER_TOWER = ("vision_tower", "vision_model")
"""The second of these is only a wrapper below the first."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

_OWN_PARTS = 2
"""Parts of a name by which its module is recognised: `gate.weight`."""


def unwrapped(name: str) -> tuple[str, ...]:
    """Return the parts of a name, without those in front of its first number that only wrap."""
    parts = name.split(".")
    number = next((at for at, part in enumerate(parts) if _NUMBER.fullmatch(part)), len(parts))
    return *_unwrapped(tuple(parts[:number])), *parts[number:]


@lru_cache(maxsize=1024)
def _unwrapped(parts: tuple[str, ...]) -> tuple[str, ...]:
    before = ("", *parts)
    return tuple(
        part
        for previous, part in zip(before, parts, strict=False)
        if part not in _WRAPPERS and (previous, part) != _INNER_TOWER
    )


class KnownPlaces:
    """Finds tensors of a model by their names, or unwrapped ones.

    `base_layers[j]` is the model's layer that the adapter's layer j was trained on.
    """

    def __init__(self, model: SourceModel, base_layers: Sequence[int]) -> None:
        self._model = model
        self._layers = [model.layers[layer] for layer in base_layers]
        self._prefix = unwrapped(model.stack.prefix.rstrip("."))
        self._outside: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for name in (*model.before, *model.after):
            self._outside[unwrapped(name)].append(name)

    @property
    def num_layers(self) -> int:
        """Layers that the adapter is for."""
        return len(self._layers)

    def place_of(self, name: str) -> Place | None:
        """Return the place of a tensor of this very name, the adapter's layers counted."""
        split = self._model.stack.split(name)
        if split is None:
            return (None, name) if name in self._model.before or name in self._model.after else None
        layer, suffix = split
        return split if layer < len(self._layers) and suffix in self._layers[layer] else None

    def name_of(self, place: Place) -> str:
        """Return the full name of the model's tensor in a place."""
        layer, suffix = place
        return suffix if layer is None else self._layers[layer][suffix].name

    def find(self, target: str) -> tuple[Place, ...]:
        """Return every place whose unwrapped name is that of the target."""
        parts = unwrapped(target)
        outside = tuple((None, name) for name in self._outside.get(parts, ()))
        split = self._split(parts)
        return outside if split is None else (split, *outside)

    def alike(self, target: str) -> str:
        """Return the suffix of a tensor in the target's layer that ends like it, or nothing."""
        layer = self._numbered(unwrapped(target))
        own = tuple(target.split(".")[-_OWN_PARTS:])
        names = () if layer is None else self._layers[layer]
        return next((name for name in names if tuple(name.split(".")[-_OWN_PARTS:]) == own), "")

    def _split(self, parts: tuple[str, ...]) -> tuple[int, str] | None:
        layer, suffix = self._numbered(parts), ".".join(parts[len(self._prefix) + 1 :])
        return None if layer is None or suffix not in self._layers[layer] else (layer, suffix)

    def _numbered(self, parts: tuple[str, ...]) -> int | None:
        """Return the layer of the stack that unwrapped parts are of, if they are."""
        count = len(self._prefix)
        number = next(iter(parts[count:]), "")
        if parts[:count] != self._prefix or not _NUMBER.fullmatch(number) or int(number) >= len(self._layers):
            return None
        return int(number)
