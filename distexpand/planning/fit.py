"""Do the sources fit into one model: architecture, shapes, and every tensor that the config promises.

The output gets the base model's config, so the base model says which tensors
a layer and the model outside its layers have. A tensor too few would be filled
with random values on loading, one too many silently left out.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.sources import SourceModel, used_sources
from distexpand.recipe.canonical import ModelRef, Recipe

_DERIVED = re.compile(r"(rotary_emb\.inv_freq|attn\.masked_bias)$")
"""Buffers that old checkpoints carry and models compute themselves; they may be there or not."""

_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")


def check_fit(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> None:
    """Check that the sources' architectures and shapes fit into one model.

    Raises:
        RecipeError: names the model, the tensor or key, and what differs.
    """
    check_layers(recipe, models)
    _check_outside(recipe, models, models[recipe.base_model])


def check_layers(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> None:
    """Check that the sources' layers fit into one stack.

    Raises:
        RecipeError: names the model, the tensor or key, and what differs.
    """
    base = models[recipe.base_model]
    used = dict.fromkeys((s.model, s.layer or 0) for part in recipe.layers for s in used_sources(part))
    for ref in dict.fromkeys(ref for ref, _ in used):
        _check_kind(base, models[ref])
    foreign = [(ref, index) for ref, index in used if ref != base.model]
    known, sets = (_shapes(base), [_lasting(layer) for layer in base.layers]) if foreign else ({}, [])
    for ref, index in foreign:
        _check_names(base, models[ref], index, sets)
        _check_shapes(base, models[ref], index, known)
    for source in used_sources(recipe.head):
        _check_beyond(base, models.get(source.model, base))


def is_tied(model: SourceModel) -> bool:
    """Whether the config says that the head is the embeddings."""
    return bool(model.config.get("tie_word_embeddings") or model.stack_config.get("tie_word_embeddings"))


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


def _check_beyond(base: SourceModel, other: SourceModel) -> None:
    """Check the layers beyond the count, which come from the head's model."""
    if len(other.beyond) != len(base.beyond):
        raise RecipeError(
            f"{other.model}: has {len(other.beyond)} layers beyond the config's count, but the base model "
            f"{base.model}, whose config the output gets, has {len(base.beyond)}",
            hint="Give the head, whose model these layers come from, as that of the base model.",
        )


def _check_names(base: SourceModel, other: SourceModel, index: int, sets: Iterable[frozenset[str]]) -> None:
    found = _lasting(other.layers[index])
    nearest = min(sets, key=lambda names: len(names ^ found))
    if nearest == found:
        return
    suffix = min(nearest ^ found)
    has, lacks = (base, other) if suffix in nearest else (other, base)
    raise RecipeError(
        f"{other.model}: layer {index} doesn't fit the base model {base.model}, whose config the output "
        f"gets: {has.model} has {suffix!r} in such a layer, {lacks.model} doesn't",
        hint="Check attention_bias, mlp_bias and the like in both configs.",
    )


def _shapes(base: SourceModel) -> dict[str, set[tuple[int, ...]]]:
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for layer in base.layers:
        for suffix, entry in layer.items():
            shapes[suffix].add(entry.shape)
    return shapes


def _check_shapes(
    base: SourceModel, other: SourceModel, index: int, known: Mapping[str, set[tuple[int, ...]]]
) -> None:
    for suffix, entry in other.layers[index].items():
        shapes = known.get(suffix, {entry.shape})
        if entry.shape not in shapes:
            expected = " or ".join(str(list(shape)) for shape in sorted(shapes))
            raise RecipeError(
                f"{other.model}: tensor {entry.name!r} is {list(entry.shape)}, "
                f"but {expected} in the base model {base.model}",
                hint="Sources have to agree in hidden size, heads and intermediate size.",
            )


def _check_outside(recipe: Recipe, models: Mapping[ModelRef, SourceModel], base: SourceModel) -> None:
    sources = {
        name: (models[source.model], entry)
        for part, side in ((recipe.embeddings, "before"), (recipe.head, "after"))
        for source in used_sources(part)
        for name, entry in getattr(models[source.model], side).items()
    }
    expected = {**base.before, **base.after}
    for name in _lasting(expected) - sources.keys():
        if not (_HEAD.search(name) and is_tied(base)):
            raise RecipeError(
                f"the output would have no {name!r}: the base model {base.model} has it, "
                "but the model that the recipe takes it from doesn't",
                hint="Embeddings come from the first slice's model, norm and head from the last slice's.",
            )
    for name, (model, entry) in sources.items():
        _check_one_outside(name, model, entry, expected.get(name), base)


def _check_one_outside(
    name: str, model: SourceModel, entry: TensorEntry, expected: TensorEntry | None, base: SourceModel
) -> None:
    if expected is not None and expected.shape != entry.shape:
        raise RecipeError(
            f"tensor {name!r} is {list(entry.shape)} where the recipe takes it from, "
            f"but {list(expected.shape)} in the base model {base.model}, whose config the output gets",
            hint="Vocabularies differ; name a base_model with the same vocabulary as the embeddings.",
        )
    redundant = _HEAD.search(name) and is_tied(model)
    if expected is None and not redundant and not _DERIVED.search(name):
        raise RecipeError(
            f"{model.model} has {name!r}, but the base model {base.model}, whose config the output gets, "
            "doesn't, so that it would be ignored on loading",
            hint="Name a base_model that has it.",
        )


def _lasting(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if not _DERIVED.search(name))
