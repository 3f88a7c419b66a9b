"""Further stacks that a recipe expands beside the main one: encoder and decoder, tower and language model.

Each is planned as if it were the only one: with the same models seen from that
stack, and a recipe of its layers alone. What stands outside all stacks stays
with the main one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from distexpand.errors import RecipeError
from distexpand.planning.sources import SourceModel, without_stacks
from distexpand.recipe.canonical import ModelRef, Recipe

ModelsByStack = Mapping[str, Mapping[ModelRef, SourceModel]]
"""By the name that the recipe gives a further stack, the models seen from that stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecipe:
    """The layers of one stack, and the models seen from it."""

    recipe: Recipe
    models: Mapping[ModelRef, SourceModel]


def stack_recipes(
    recipe: Recipe, models: Mapping[ModelRef, SourceModel], modules: ModelsByStack
) -> list[StackRecipe]:
    """Return one recipe per stack, the main one first, its models without the other stacks' tensors.

    Raises:
        RecipeError: two names mean the same stack.
    """
    further = [
        StackRecipe(
            recipe=replace(recipe, layers=module.layers, modules=(), stack=module.stack),
            models=modules[module.stack],
        )
        for module in recipe.modules
    ]
    stacks = [models[recipe.base_model].stack]
    for part in further:
        stack = part.models[recipe.base_model].stack
        if stack.prefix in {other.prefix for other in stacks}:
            raise RecipeError(
                f"modules: {part.recipe.stack!r} names {stack.prefix}, which another module names, too",
                hint="Give each stack once; `distexpand inspect MODEL` lists them.",
            )
        stacks.append(stack)
    others = tuple(stacks[1:])
    main = {ref: without_stacks(model, others) for ref, model in models.items()}
    return [StackRecipe(recipe=recipe, models=main), *further]
