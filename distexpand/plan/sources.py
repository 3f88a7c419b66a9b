"""The checkpoints behind a recipe, as resolving needs them: catalogs sorted by layer."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.config_remap import config_level
from distexpand.architecture.outside import is_before_stack
from distexpand.architecture.stack import LayerStack, find_layer_stack
from distexpand.formats.catalog import Catalog, TensorEntry
from distexpand.recipe.canonical import ModelRef, Part, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """One model, its tensors told apart by where they stand.

    `layers[i]` maps the suffixes of layer i to its tensors; `before` and `after` are the
    tensors outside the stack by full name.
    """

    model: ModelRef
    config: Mapping[str, Any]
    catalog: Catalog
    stack: LayerStack
    layers: tuple[Mapping[str, TensorEntry], ...]
    before: Mapping[str, TensorEntry]
    after: Mapping[str, TensorEntry]

    @property
    def stack_config(self) -> Mapping[str, Any]:
        """The level of the config that describes the stack."""
        return config_level(self.config, self.stack)


def source_model(model: ModelRef, config: Mapping[str, Any], catalog: Catalog) -> SourceModel:
    """Sort a catalog's tensors into layers and what stands before and after them.

    Raises:
        ArchitectureError: the layer stack can't be found.
    """
    stack = find_layer_stack(catalog.tensors, config, origin=str(model))
    layers: dict[int, dict[str, TensorEntry]] = defaultdict(dict)
    before: dict[str, TensorEntry] = {}
    after: dict[str, TensorEntry] = {}
    for name, entry in sorted(catalog.tensors.items()):
        place = stack.split(name)
        if place is not None:
            layers[place[0]][place[1]] = entry
        else:
            (before if is_before_stack(name) else after)[name] = entry
    return SourceModel(
        model=model,
        config=config,
        catalog=catalog,
        stack=stack,
        layers=tuple(layers[index] for index in range(stack.num_layers)),
        before=before,
        after=after,
    )


def overall_weight(source: Source) -> float:
    """Return the largest weight that a source has for any tensor; 1 where no rule speaks of them all."""
    weights = [abs(rule.value) for rule in source.weight]
    if not any(rule.filter is None for rule in source.weight):
        weights.append(1.0)
    return max(weights)


def used_sources(part: Part) -> tuple[Source, ...]:
    """Return the sources that a part reads; one of weight 0 needn't fit the others."""
    return tuple(source for source in part.sources if overall_weight(source) != 0)
