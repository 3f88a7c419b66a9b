"""Adapters that come with a tokenizer of their own, which the output doesn't get by itself.

Trainers save the tokenizer beside an adapter, often with another chat template. The base model's
is carried unless the recipe names another, for a recipe may have several adapters.
"""

from collections.abc import Iterator, Mapping, Sequence

from distexpand.findings import Finding
from distexpand.planning.build import CarriedFile
from distexpand.recipe.canonical import ModelRef, Recipe

_TELLING = ("tokenizer.json", "tokenizer.model", "chat_template.jinja", "tokenizer_config.json")


def lint_adapter_tokenizers(
    recipe: Recipe, side_files: Mapping[ModelRef, Sequence[CarriedFile]]
) -> Iterator[Finding]:
    """Yield a finding for every adapter whose tokenizer files differ from those that are carried."""
    carried = {file.name: file.pin for file in side_files[recipe.tokenizer]}
    for adapter in recipe.adapters():
        own = {file.name: file.pin for file in side_files[adapter]}
        other = [name for name in _TELLING if name in own and own[name] != carried.get(name)]
        if adapter != recipe.tokenizer and other:
            yield Finding(
                code="adapter-tokenizer",
                message=f"{adapter} has a {other[0]} of its own, "
                f"but the output gets that of {recipe.tokenizer}",
                advice=f"Set tokenizer_source: {adapter} in the recipe if the adapter's is meant.",
            )
