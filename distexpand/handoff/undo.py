"""A recipe that takes an expansion back: the original layers in their order, without the new ones.

What the new layers learned is dropped with them; the others are as they were,
as long as only the new ones were trained.
"""

from collections.abc import Sequence

import yaml

from distexpand.errors import UsageError
from distexpand.planning.model import LayerOrigin
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.draft import Draft
from distexpand.recipe.model_reference import plain_model


def undo_recipe(layers: Sequence[LayerOrigin], recipe: Draft, *, name: str) -> str:
    """Return the recipe's text.

    Args:
        layers: where the output's layers come from.
        recipe: what they were made by.
        name: what the recipe calls the output.

    Raises:
        UsageError: an original layer isn't in the output, or not as it was.
    """
    kept = _original_layers(layers, str(recipe.base_model))
    _check_outside(layers, recipe)
    dropped = sorted(set(range(len(layers))) - set(kept))
    if not dropped:
        raise UsageError(
            f"{name}: has no new layers to leave out",
            hint="It has layers of its source only: write a recipe that names those to keep.",
        )
    model = plain_model(ModelRef(name=name))
    document = {"model": model, "layer_map": _spans(kept)} | ({"stack": recipe.stack} if recipe.stack else {})
    comment = f"# Takes an expansion back: layers {', '.join(map(str, dropped))} are left out.\n"
    return comment + yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)


def _original_layers(layers: Sequence[LayerOrigin], base: str) -> list[int]:
    """Return the place of each of the base model's layers in the output.

    Raises:
        UsageError: one of them isn't there unchanged.
    """
    places: dict[int, int] = {}
    for index, layer in enumerate(layers):
        if layer.model == base and not (layer.new or layer.transforms or layer.others):
            places.setdefault(layer.layer, index)
    count = 1 + max((layer.layer for layer in layers if layer.model == base), default=-1)
    missing = [layer for layer in range(count) if layer not in places]
    if missing or not count:
        which = f"layer {missing[0]} of {base}" if missing else f"any layer of {base}"
        raise UsageError(
            f"the expansion can't be taken back: the output doesn't have {which} as it was",
            hint="Layers that were left out, scaled or blended are only in the source.",
        )
    return [places[layer] for layer in range(count)]


def _check_outside(layers: Sequence[LayerOrigin], recipe: Draft) -> None:
    """Check that embeddings and head are the base model's.

    Raises:
        UsageError: they come from another model.
    """
    base = str(recipe.base_model)
    if recipe.modules:
        raise UsageError(
            "the expansion can't be taken back: it is one of several stacks at once",
            hint="Write a recipe with `modules:` that keeps the original layers of each.",
        )
    for part, layer in ((recipe.embeddings, layers[0]), (recipe.head, layers[-1])):
        models = [str(source.model) for source in part.sources] if part else [layer.model]
        if models != [base]:
            raise UsageError(
                f"the expansion can't be taken back: the output has embeddings or head of {models[0]}, "
                f"not of {base}"
            )


def _spans(places: Sequence[int]) -> list[list[int]]:
    """Return places as runs of layers that follow one another, ends exclusive."""
    spans: list[list[int]] = []
    for place in places:
        if spans and spans[-1][1] == place:
            spans[-1][1] = place + 1
        else:
            spans.append([place, place + 1])
    return spans
