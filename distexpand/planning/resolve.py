"""Resolve a recipe against its sources: which tensor of which file every output tensor is made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from distexpand.architecture.residual.identity import identity_values
from distexpand.architecture.residual.places import check_place
from distexpand.architecture.shared_blocks import is_shared
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.adapters.tensors import BAKE_FIRST, adapted_tensor
from distexpand.planning.depth import gathered_tensor
from distexpand.planning.placement import place_layers
from distexpand.planning.quantised_rules import quantised_values
from distexpand.planning.resolver import Resolver
from distexpand.planning.sources import overall_weight, primary_source
from distexpand.planning.tensors import (
    OutputTensor,
    WeightedEntry,
    blended_tensor,
    constant_tensor,
    copied_tensor,
    entry_copied,
    passthrough_tensor,
)
from distexpand.recipe.canonical import MergeMethod, Part, first_match


def resolve_tensors(resolver: Resolver) -> Iterator[OutputTensor]:
    """Yield every output tensor: embeddings, layers in order, head.

    Raises:
        RecipeError: sources don't fit together, or a transform isn't possible.
        ArchitectureError: an identity block isn't possible.
    """
    recipe, models = resolver.recipe, resolver.models
    yield from _outside(
        resolver, recipe.embeddings, [models[s.model].before for s in recipe.embeddings.sources]
    )
    yield from resolve_layers(resolver)
    yield from _outside(resolver, recipe.head, [models[s.model].after for s in recipe.head.sources])


def resolve_layers(resolver: Resolver) -> Iterator[OutputTensor]:
    """Yield the tensors of every output layer in order, and of the layers beyond the count behind them.

    Raises:
        RecipeError: sources don't fit together, or a transform isn't possible.
        ArchitectureError: an identity block isn't possible, or a layer can't stand where it is put.
    """
    recipe, models = resolver.recipe, resolver.models
    base = models[recipe.base_model]
    places = place_layers(recipe, models)
    for index, (part, place) in enumerate(zip(recipe.layers, places, strict=True)):
        layers = [models[s.model].layers[s.layer or 0] for s in part.sources]
        fixed = _quantised(resolver, part, layers) | _identity_values(resolver, part, index)
        for suffix in _names(part, layers):
            if suffix in place.omitted:
                continue
            entries = [layer.get(suffix) for layer in layers]
            name = base.stack.name(index, suffix)
            if suffix in fixed and not is_shared(suffix):
                yield _fixed_tensor(resolver, part, name, entries, fixed[suffix])
            else:
                yield _tensor(resolver, part, name, entries)
        for suffix, entry in place.added.items():
            name = base.stack.name(index, suffix)
            yield passthrough_tensor(name, entry, resolver.casting, resolver.number)
    for index in range(len(base.beyond)):
        sides = [models.get(s.model, base).beyond[index] for s in recipe.head.sources]
        yield from _numbered(resolver, recipe.head, sides, base.stack, len(recipe.layers) + index)


def _numbered(
    resolver: Resolver, part: Part, sides: list[Mapping[str, TensorEntry]], stack: LayerStack, number: int
) -> Iterator[OutputTensor]:
    for suffix in _names(part, sides):
        entries = [side.get(suffix) for side in sides]
        yield _tensor(resolver, part, stack.name(number, suffix), entries)


def _outside(
    resolver: Resolver, part: Part, sides: list[Mapping[str, TensorEntry]]
) -> Iterator[OutputTensor]:
    fixed = _quantised(resolver, part, sides)
    for name in _names(part, sides):
        entries = [side.get(name) for side in sides]
        gathered = gathered_tensor(resolver, part, name, entries)
        if gathered is not None:
            for source in _weighted(resolver, part, name, entries):
                _refuse_change(source)
            yield gathered
        elif name in fixed:
            yield _fixed_tensor(resolver, part, name, entries, fixed[name])
        else:
            yield _tensor(resolver, part, name, entries)


def _names(part: Part, sides: Iterable[Mapping[str, TensorEntry]]) -> list[str]:
    """Return the names of a part's tensors: those of any source that has weight, each once.

    In the order of the first source's files, so that neighbours stay neighbours: read in one
    go, and congruent together. For files that safetensors wrote that is the order of names.
    """
    names: dict[str, TensorEntry] = {}
    for source, side in zip(part.sources, sides, strict=True):
        if overall_weight(source) != 0 or len(part.sources) == 1:
            names = {**side, **names}
    return sorted(names, key=lambda name: (names[name].file, names[name].offset, name))


def _tensor(resolver: Resolver, part: Part, name: str, entries: list[TensorEntry | None]) -> OutputTensor:
    only = entries[0]
    if only is not None and resolver.copies(part) and part.sources[0].adapter is None:
        return entry_copied(name, only, resolver.number(str(part.sources[0].model), only.file))
    weighted = _weighted(resolver, part, name, entries)
    changed = _changed(resolver, part, name, weighted)
    if changed is not None and changed.change is not None:
        return adapted_tensor(name, changed, changed.change, resolver.casting, resolver.number)
    if resolver.recipe.method is MergeMethod.LINEAR:
        return blended_tensor(name, weighted, resolver.casting, resolver.number, normalize=part.normalize)
    return passthrough_tensor(name, weighted[0], resolver.casting, resolver.number)


def _changed(
    resolver: Resolver, part: Part, name: str, weighted: tuple[WeightedEntry, ...]
) -> WeightedEntry | None:
    """Return the only source of a tensor if its adapter changes it.

    Raises:
        RecipeError: others would have to be added.
    """
    if resolver.recipe.method is MergeMethod.PASSTHROUGH:
        return weighted[0] if weighted[0].change is not None else None
    used = [source for source in weighted if source.value != 0]
    first = next((source for source in used if source.change is not None), None)
    if first is None or first.change is None:
        return None
    if len(used) > 1 or not (part.normalize or first.value == 1):
        raise RecipeError(
            f"tensor {name!r}: the adapter {first.change.adapter} changes it in {first.model}, "
            "and it can't be part of a weighted sum at once",
            hint=BAKE_FIRST,
        )
    return replace(first, value=1.0)


def _fixed_tensor(
    resolver: Resolver, part: Part, name: str, entries: list[TensorEntry | None], value: float | None
) -> OutputTensor:
    """Return a tensor of one value throughout, or without a value its only source as it is."""
    weighted = _weighted(resolver, part, name, entries)
    if value is not None:
        return constant_tensor(name, weighted[0], value, resolver.casting)
    only = next((entry for entry in weighted if entry.value != 0), weighted[0])
    _refuse_change(only)
    return copied_tensor(name, only, resolver.number)


def _refuse_change(source: WeightedEntry) -> None:
    if source.change is not None:
        raise RecipeError(
            f"{source.model}+{source.change.adapter}: tensor {source.entry.name!r} is changed by the "
            "adapter, but it can only be moved here",
            hint=BAKE_FIRST,
        )


def _weighted(
    resolver: Resolver, part: Part, name: str, entries: list[TensorEntry | None]
) -> tuple[WeightedEntry, ...]:
    linear = resolver.recipe.method is MergeMethod.LINEAR
    weighted = []
    for source, entry in zip(part.sources, entries, strict=True):
        source_name = name if entry is None else entry.name
        value = first_match(source.weight if linear else source.scale, source_name, 1.0)
        if entry is not None:
            change = resolver.change(source, entry)
            weighted.append(WeightedEntry(model=str(source.model), entry=entry, value=value, change=change))
        elif value != 0:
            raise RecipeError(
                f"{source.model}: has no tensor for {name!r}, but a weight of {value}",
                hint="Give it a weight of 0 by a filter, or take models that have the same tensors.",
            )
    return tuple(weighted)


def _quantised(
    resolver: Resolver, part: Part, sides: Sequence[Mapping[str, TensorEntry]]
) -> dict[str, float | None]:
    if resolver.copies(part):
        return {}
    used = [overall_weight(source) != 0 or len(part.sources) == 1 for source in part.sources]
    counted = [side if uses else {} for side, uses in zip(sides, used, strict=True)]
    return dict(quantised_values(part, counted, resolver.casting, resolver.recipe.method))


def _identity_values(resolver: Resolver, part: Part, index: int) -> dict[str, float | None]:
    """Return what the tensors of an identity block have to be.

    Raises:
        ArchitectureError: it isn't possible, in this place or at all.
    """
    if not part.identity:
        return {}
    source = primary_source(part)
    model = resolver.models[source.model]
    layer = source.layer or 0
    origin = f"{source.model}: {model.stack.prefix}{layer}"
    at_end = all(later.identity for later in resolver.recipe.layers[index:])
    check_place(model.stack_config, index, at_end=at_end, origin=origin)
    dtypes = {suffix: entry.dtype for suffix, entry in model.layers[layer].items()}
    return dict(identity_values(dtypes, model.stack_config, origin=origin))
