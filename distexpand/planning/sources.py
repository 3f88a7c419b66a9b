"""The checkpoints behind a recipe, as resolving needs them: catalogs sorted by layer."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from distexpand.architecture.config.remap import config_level
from distexpand.architecture.outside import is_before_stack
from distexpand.architecture.shared_blocks import SharedBlocks, find_shared_blocks, is_shared
from distexpand.architecture.stacks.counts import with_decoder_count
from distexpand.architecture.stacks.stack import LayerStack, find_layer_stack
from distexpand.formats.catalog import Catalog, TensorEntry
from distexpand.recipe.canonical import ModelRef, Part, Source

Tensors = Mapping[str, TensorEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """One model, its tensors told apart by where they stand.

    `layers[i]` maps the suffixes of layer i to its tensors, those of a block that it shares
    with an earlier layer included; `beyond` are the layers stored behind the count; `before`
    and `after` are the tensors outside the stack by full name.
    """

    model: ModelRef
    config: Mapping[str, Any]
    catalog: Catalog
    stack: LayerStack
    layers: tuple[Tensors, ...]
    before: Tensors
    after: Tensors
    beyond: tuple[Tensors, ...] = ()
    shared: SharedBlocks | None = None

    @property
    def stack_config(self) -> Mapping[str, Any]:
        """The level of the config that describes the stack."""
        return config_level(self.config, self.stack)


def source_model(
    model: ModelRef, config: Mapping[str, Any], catalog: Catalog, *, stack: str = ""
) -> SourceModel:
    """Sort a catalog's tensors into layers and what stands before and after them.

    Args:
        model: the model's name.
        config: its whole config.
        catalog: its tensors.
        stack: the layers that are meant, by their prefix or a part of it; empty for the
            language model's or decoder's.

    Raises:
        ArchitectureError: the layer stack can't be found.
    """
    config = with_decoder_count(config)
    found = find_layer_stack(catalog.tensors, config, origin=str(model), wanted=stack)
    layers: dict[int, dict[str, TensorEntry]] = defaultdict(dict)
    before: dict[str, TensorEntry] = {}
    after: dict[str, TensorEntry] = {}
    for name in sorted(catalog.tensors):
        entry, place = catalog.tensors[name], found.split(name)
        if place is not None:
            layers[place[0]][place[1]] = entry
        else:
            (before if is_before_stack(name) else after)[name] = entry
    counted = tuple(layers[index] for index in range(found.num_layers))
    shared = find_shared_blocks(counted, config_level(config, found))
    return SourceModel(
        model=model,
        config=config,
        catalog=catalog,
        stack=found,
        layers=_with_shared(counted, shared) if shared else counted,
        beyond=tuple(layers[found.num_layers + index] for index in range(found.beyond)),
        before=before,
        after=after,
        shared=shared,
    )


def without_stacks(model: SourceModel, others: tuple[LayerStack, ...]) -> SourceModel:
    """Return the model without the tensors of other stacks, which a recipe expands by themselves."""

    def left(side: Tensors) -> Tensors:
        return {
            name: entry for name, entry in side.items() if all(stack.split(name) is None for stack in others)
        }

    return replace(model, before=left(model.before), after=left(model.after)) if others else model


def _with_shared(layers: tuple[dict[str, TensorEntry], ...], shared: SharedBlocks) -> tuple[Tensors, ...]:
    """Give every layer the tensors of the block that it shares."""
    whole: list[Tensors] = list(layers)
    for user, layer in enumerate(shared.users):
        owner = layers[shared.owner(user)]
        block = {suffix: entry for suffix, entry in owner.items() if is_shared(suffix)}
        whole[layer] = dict(sorted({**block, **layers[layer]}.items()))
    return tuple(whole)


def overall_weight(source: Source) -> float:
    """Return the largest weight that a source has for any tensor; 1 where no rule speaks of them all."""
    weights = [abs(rule.value) for rule in source.weight]
    if not any(rule.filter is None for rule in source.weight):
        weights.append(1.0)
    return max(weights)


def used_sources(part: Part) -> tuple[Source, ...]:
    """Return the sources that a part reads; one of weight 0 needn't fit the others."""
    return tuple(source for source in part.sources if overall_weight(source) != 0)


def primary_source(part: Part) -> Source:
    """Return the source with the most weight, by which a part is known."""
    return max(part.sources, key=overall_weight)
