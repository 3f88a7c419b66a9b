"""What all parts of a recipe are resolved with."""

from collections.abc import Mapping
from dataclasses import dataclass

from distexpand.plan.modules import StackRecipe
from distexpand.plan.sources import SourceModel
from distexpand.plan.tensors import Casting, SourceNumber
from distexpand.recipe.canonical import ModelRef, Part, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A recipe, the models that it names, and the numbers of their files.

    `further` are the other stacks that are expanded beside this one: a tensor outside of all
    stacks may hold a part for each layer of any of them.
    """

    recipe: Recipe
    models: Mapping[ModelRef, SourceModel]
    number: SourceNumber
    further: tuple[StackRecipe, ...] = ()

    @property
    def casting(self) -> Casting:
        """The recipe's dtypes."""
        return Casting(dtype=self.recipe.dtype, out_dtype=self.recipe.out_dtype)

    def copies(self, part: Part) -> bool:
        """Whether a part is its only source as it is, as most layers are: nothing then asks for a rule."""
        if len(part.sources) != 1 or self.recipe.dtype is not None or self.recipe.out_dtype is not None:
            return False
        source = part.sources[0]
        return not source.scale and not source.weight
