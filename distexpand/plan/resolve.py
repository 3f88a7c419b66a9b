"""Resolve a recipe against its sources: which tensor of which file every output tensor is made of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from distexpand.architecture.residual import residual_outputs
from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.plan.sources import SourceModel, overall_weight
from distexpand.plan.tensors import (
    Casting,
    OutputTensor,
    SourceNumber,
    WeightedEntry,
    blended_tensor,
    passthrough_tensor,
    zero_tensor,
)
from distexpand.recipe.canonical import MergeMethod, ModelRef, Part, Recipe, Source, first_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """What all parts of a recipe are resolved with."""

    recipe: Recipe
    models: Mapping[ModelRef, SourceModel]
    number: SourceNumber

    @property
    def casting(self) -> Casting:
        """The recipe's dtypes."""
        return Casting(dtype=self.recipe.dtype, out_dtype=self.recipe.out_dtype)


def resolve_tensors(resolver: Resolver) -> Iterator[OutputTensor]:
    """Yield every output tensor: embeddings, layers in order, head.

    Raises:
        RecipeError: sources don't fit together, or a transform isn't possible.
        ArchitectureError: an identity block isn't possible.
    """
    recipe, models = resolver.recipe, resolver.models
    stack = models[recipe.base_model].stack
    yield from _outside(
        resolver, recipe.embeddings, [models[s.model].before for s in recipe.embeddings.sources]
    )
    for index, part in enumerate(recipe.layers):
        zeroed = _zeroed_suffixes(resolver, part)
        layers = [models[s.model].layers[s.layer or 0] for s in part.sources]
        for suffix in _names(part, layers):
            entries = [layer.get(suffix) for layer in layers]
            name = stack.name(index, suffix)
            yield _tensor(resolver, part, name, entries, zero=suffix in zeroed)
    yield from _outside(resolver, recipe.head, [models[s.model].after for s in recipe.head.sources])


def primary_source(part: Part) -> Source:
    """Return the source with the most weight, by which a part is known."""
    return max(part.sources, key=overall_weight)


def _outside(
    resolver: Resolver, part: Part, sides: list[Mapping[str, TensorEntry]]
) -> Iterator[OutputTensor]:
    for name in _names(part, sides):
        yield _tensor(resolver, part, name, [side.get(name) for side in sides], zero=False)


def _names(part: Part, sides: Iterable[Mapping[str, TensorEntry]]) -> list[str]:
    """Return the names of a part's tensors: those of any source that has weight, each once."""
    names: dict[str, None] = {}
    for source, side in zip(part.sources, sides, strict=True):
        if overall_weight(source) != 0 or len(part.sources) == 1:
            names.update(dict.fromkeys(side))
    return sorted(names)


def _tensor(
    resolver: Resolver, part: Part, name: str, entries: list[TensorEntry | None], *, zero: bool
) -> OutputTensor:
    linear = resolver.recipe.method is MergeMethod.LINEAR
    weighted = []
    for source, entry in zip(part.sources, entries, strict=True):
        source_name = name if entry is None else entry.name
        value = first_match(source.weight if linear else source.scale, source_name, 1.0)
        if entry is not None:
            weighted.append(WeightedEntry(model=str(source.model), entry=entry, value=value))
        elif value != 0:
            raise RecipeError(f"{source.model}: has no tensor for {name!r}, but a weight of {value}")
    if zero:
        return zero_tensor(name, weighted[0], resolver.casting)
    if linear:
        return blended_tensor(
            name, tuple(weighted), resolver.casting, resolver.number, normalize=part.normalize
        )
    return passthrough_tensor(name, weighted[0], resolver.casting, resolver.number)


def _zeroed_suffixes(resolver: Resolver, part: Part) -> frozenset[str]:
    if not part.identity:
        return frozenset()
    source = primary_source(part)
    model = resolver.models[source.model]
    layer = source.layer or 0
    origin = f"{source.model}: {model.stack.prefix}{layer}"
    return residual_outputs(model.layers[layer].keys(), model.stack_config, origin=origin)
