"""The checkpoints behind a recipe, as resolving needs them: catalogs by layer, checked to fit together."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distexpand.architecture.config_remap import config_level
from distexpand.architecture.outside import is_before_stack
from distexpand.architecture.stack import LayerStack, find_layer_stack
from distexpand.errors import RecipeError
from distexpand.formats.catalog import Catalog, TensorEntry
from distexpand.recipe.canonical import ModelRef, Part, Recipe, Source


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


def check_fit(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> None:
    """Check that the sources' architectures and shapes fit into one model.

    Raises:
        RecipeError: names the model, the tensor or key, and what differs.
    """
    base = models[recipe.base_model]
    known = _shapes(base)
    used = dict.fromkeys((s.model, s.layer or 0) for part in recipe.layers for s in used_sources(part))
    for ref in dict.fromkeys(ref for ref, _ in used):
        _check_kind(base, models[ref])
    for ref, index in used:
        if ref != base.model:
            _check_layer(base, models[ref], index, known)
    for name, entry in _outside(recipe, models).items():
        reference = base.catalog.tensors.get(name)
        if reference is not None and reference.shape != entry.shape:
            raise RecipeError(
                f"tensor {name!r} is {list(entry.shape)} where the recipe takes it from, "
                f"but {list(reference.shape)} in the base model {base.model}, whose config the output gets",
                hint="Vocabularies differ; name a base_model with the same vocabulary as the embeddings.",
            )


def _outside(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> dict[str, TensorEntry]:
    before = [models[source.model].before for source in used_sources(recipe.embeddings)]
    after = [models[source.model].after for source in used_sources(recipe.head)]
    return {name: entry for side in (*before, *after) for name, entry in side.items()}


def _shapes(base: SourceModel) -> dict[str, set[tuple[int, ...]]]:
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for layer in base.layers:
        for suffix, entry in layer.items():
            shapes[suffix].add(entry.shape)
    return shapes


def _check_kind(base: SourceModel, other: SourceModel) -> None:
    for what, left, right in (
        ("model_type", base.stack_config.get("model_type"), other.stack_config.get("model_type")),
        ("the layers' prefix", base.stack.prefix, other.stack.prefix),
    ):
        if left != right:
            raise RecipeError(
                f"{other.model}: {what} is {right!r}, but {left!r} in the base model {base.model}",
                hint="Only layers of one architecture can be stacked.",
            )


def _check_layer(
    base: SourceModel, other: SourceModel, index: int, known: Mapping[str, set[tuple[int, ...]]]
) -> None:
    for suffix, entry in other.layers[index].items():
        shapes = known.get(suffix)
        if shapes is None:
            raise RecipeError(f"{other.model}: the base model {base.model} has no tensor like {entry.name!r}")
        if entry.shape not in shapes:
            expected = " or ".join(str(list(shape)) for shape in sorted(shapes))
            raise RecipeError(
                f"{other.model}: tensor {entry.name!r} is {list(entry.shape)}, "
                f"but {expected} in the base model {base.model}",
                hint="Sources have to agree in hidden size, heads and intermediate size.",
            )
