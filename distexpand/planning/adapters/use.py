"""The adapters of a recipe matched with its models, and whether each layer gets what was trained for it."""

from collections.abc import Iterator, Mapping, Sequence

from distexpand.errors import RecipeError
from distexpand.findings import Finding
from distexpand.planning.adapters.adapter import Adapter, AppliedAdapter
from distexpand.planning.adapters.match import match_adapter
from distexpand.planning.sources import SourceModel, used_sources
from distexpand.recipe.canonical import ModelRef, Part, Recipe, Source

Applied = dict[tuple[ModelRef, ModelRef], AppliedAdapter]
"""By adapter and model."""


def applied_adapters(
    parts: Sequence[Part], models: Mapping[ModelRef, SourceModel], adapters: Mapping[ModelRef, Adapter]
) -> Applied:
    """Match every adapter of some parts with its model, both as seen from one stack.

    Raises:
        RecipeError: an adapter doesn't fit its model, or a layer would get what was trained for another.
    """
    found: Applied = {}
    for source in (source for part in parts for source in part.sources):
        if source.adapter is None:
            continue
        pair = source.adapter, source.model
        if pair not in found:
            found[pair] = match_adapter(adapters[source.adapter], models[source.model])
        _check_layer(source, found[pair])
    return found


def _check_layer(source: Source, applied: AppliedAdapter) -> None:
    layer, layers = source.adapter_layer, applied.base_layers
    if layer is None:
        return
    if layer >= len(layers):
        raise RecipeError(
            f"the adapter {source.adapter} has {len(layers)} layers, but the recipe wants its layer {layer}",
            hint="Say which of the adapter's layers are meant by `adapter_range`.",
        )
    if layers[layer] != source.layer:
        raise RecipeError(
            f"layer {layer} of the adapter {source.adapter} was trained on layer {layers[layer]} of "
            f"{source.model}, but the recipe uses it for layer {source.layer}",
            hint="Say which of the adapter's layers are meant with adapter_range; "
            "`distexpand adapter recipe` writes the recipe of the model that it was trained as.",
        )


def lint_adapters(recipe: Recipe, applied: Applied) -> Iterator[Finding]:
    """Yield findings about what adapters have outside the layers and the recipe takes from elsewhere."""
    taken = {
        (source.adapter, source.model)
        for part in (recipe.embeddings, recipe.head)
        for source in used_sources(part)
    }
    for pair, match in applied.items():
        outside = sorted(name for layer, name in match.changes if layer is None)
        if outside and pair not in taken:
            adapter, model = pair
            yield Finding(
                code="adapter-in-part",
                message=f"{adapter} changes {outside[0]!r} of {model}, "
                "but the recipe takes embeddings and head from elsewhere",
                advice=f"Take them from {model}+{adapter} if this isn't meant.",
            )
