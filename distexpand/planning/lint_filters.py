"""Filters of a recipe that match no tensor: a misspelt one would leave its factor out without a word.

Judged over all models of the recipe together, since one list of rules may serve models of several families.
"""

from collections.abc import Iterator, Mapping

from distexpand.closeness import did_you_mean
from distexpand.findings import Finding
from distexpand.planning.sources import SourceModel
from distexpand.recipe.canonical import ModelRef, Recipe

_MOST_SHOWN = 3


def lint_filters(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> Iterator[Finding]:
    """Yield a finding for each filter that no tensor's name contains."""
    given = dict.fromkeys(
        rule.filter
        for part in recipe.parts()
        for source in part.sources
        for rule in (*source.scale, *source.weight)
        if rule.filter is not None
    )
    idle = [text for text in given if not _matches(text, models)]
    if not idle:
        return
    parts = list(
        dict.fromkeys(
            part
            for model in models.values()
            for name in model.catalog.tensors
            for part in name.split(".")
            if not part.isdigit()
        )
    )
    named = ", ".join(str(ref) for ref in list(models)[:_MOST_SHOWN])
    for text in idle:
        yield Finding(
            code="filter-matches-nothing",
            message=f"the filter {text!r} matches no tensor of {named}",
            advice=did_you_mean(text, parts) or f"Tensors' names have parts such as {', '.join(parts[-3:])}.",
        )


def _matches(text: str, models: Mapping[ModelRef, SourceModel]) -> bool:
    return any(text in name for model in models.values() for name in model.catalog.tensors)
