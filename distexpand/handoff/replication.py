"""Which layer ranges PEFT would have to replicate for a recipe, or why it can't.

`layer_replication` stacks layers of one model, whole and as they are. Anything else that a recipe can do to a
layer has no place in an adapter's config.
"""

import re
from collections.abc import Iterator, Sequence

from distexpand.errors import RecipeError
from distexpand.planning.sources import used_sources
from distexpand.recipe.canonical import Part, Recipe

Ranges = tuple[tuple[int, int], ...]

_FOUND_BY_PEFT = re.compile(r"(model\.)*(layers|(bert\.)?encoder\.layer)\.")
"""Where PEFT looks for layers in a model's class (`replicate_layers`), as far as tensors' names show it."""

_INSTEAD = "Make the model (distexpand run), and train an adapter without layer_replication on it."


def replicated(recipe: Recipe, prefix: str) -> Ranges:
    """Return the ranges of a recipe's layers; the names of the model's layers begin with `prefix`.

    Raises:
        RecipeError: PEFT can't express the recipe; says why, and what it could.
    """
    reason = next(_reasons(recipe), "")
    if reason:
        raise RecipeError(f"PEFT can't replicate layers like this: {reason}", hint=_possible(recipe, prefix))
    if not _FOUND_BY_PEFT.fullmatch(prefix):
        raise RecipeError(
            f"PEFT can't replicate layers of {recipe.base_model}: it finds none under {prefix.rstrip('.')!r}",
            hint=_INSTEAD,
        )
    return _ranges(recipe.layers)


def _reasons(recipe: Recipe) -> Iterator[str]:
    for index, part in enumerate(recipe.layers):
        yield from (f"layer {index} {reason}" for reason in _of_part(recipe, part))
    for name, part in (("the embeddings", recipe.embeddings), ("the head", recipe.head)):
        yield from (f"{name}: {reason}" for reason in _of_part(recipe, part))
    if recipe.modules:
        yield "several stacks are expanded"


def _of_part(recipe: Recipe, part: Part) -> Iterator[str]:
    used = used_sources(part)
    if len(used) > 1:
        yield "is a weighted sum of several layers"
    if part.identity:
        yield "is an identity block"
    source = used[0]
    if source.model != recipe.base_model:
        yield f"is of {source.model}, but an adapter has one base model, which is {recipe.base_model}"
    if source.adapter is not None:
        yield f"has the adapter {source.adapter} merged into it"
    if any(rule.value != 1 for rule in source.scale):
        yield "is scaled"
    if not part.normalize and any(rule.value != 1 for rule in source.weight):
        yield "is scaled by its weight"


def _possible(recipe: Recipe, prefix: str) -> str:
    """Say what PEFT could do that is near."""
    sources = [used_sources(part)[0] for part in recipe.layers]
    alone = all(source.model == recipe.base_model for source in sources)
    if not alone or not _FOUND_BY_PEFT.fullmatch(prefix):
        return _INSTEAD
    ranges = [list(span) for span in _ranges(recipe.layers)]
    copied = f"The same layers of {recipe.base_model}, only copied, would be layer_replication {ranges}."
    return f"{copied} {_INSTEAD}"


def _ranges(parts: Sequence[Part]) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for part in parts:
        layer = used_sources(part)[0].layer or 0
        if ranges and ranges[-1][1] == layer:
            ranges[-1] = (ranges[-1][0], layer + 1)
        else:
            ranges.append((layer, layer + 1))
    return tuple(ranges)
