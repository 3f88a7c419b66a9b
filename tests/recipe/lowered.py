"""Short ways from text to a recipe, for tests."""

from typing import Any

import yaml

from distexpand.recipe.canonical import ModelRef, Part, Recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe

A = ModelRef(name="org/a")
B = ModelRef(name="org/b")


def lowered(
    content: str | dict[str, Any], *, num_layers: int = 8, default_model: ModelRef | None = None
) -> Recipe:
    """Parse and lower a recipe given as text or data; every model has `num_layers` layers."""
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    draft = parse_recipe(text, origin="recipe.yml", default_model=default_model)
    return lower(draft, dict.fromkeys(draft.models, num_layers))


def passthrough(*slices: tuple[Any, ...], **top: Any) -> dict[str, Any]:
    """Return a passthrough config; a slice is `(model, start, end)` and further keys of the source."""
    entries = []
    for model, start, end, *extra in slices:
        source = {"model": model, "layer_range": [start, end], **(extra[0] if extra else {})}
        entries.append({"sources": [source]})
    return {"slices": entries, "merge_method": "passthrough", **top}


def layer_indices(recipe: Recipe) -> list[int | None]:
    """Return the first source's layer of every output layer."""
    return [part.sources[0].layer for part in recipe.layers]


def identities(recipe: Recipe) -> list[int]:
    """Return the places of the identity blocks."""
    return [place for place, part in enumerate(recipe.layers) if part.identity]


def scale_of(part: Part, tensor: str) -> float:
    """Return what passthrough multiplies a tensor by."""
    rules = part.sources[0].scale
    return next((rule.value for rule in rules if rule.matches(tensor)), 1.0)
