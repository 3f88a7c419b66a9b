"""What all parts of a recipe are resolved with."""

from collections.abc import Mapping
from dataclasses import dataclass

from distexpand.plan.sources import SourceModel
from distexpand.plan.tensors import Casting, SourceNumber
from distexpand.recipe.canonical import ModelRef, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A recipe, the models that it names, and the numbers of their files."""

    recipe: Recipe
    models: Mapping[ModelRef, SourceModel]
    number: SourceNumber

    @property
    def casting(self) -> Casting:
        """The recipe's dtypes."""
        return Casting(dtype=self.recipe.dtype, out_dtype=self.recipe.out_dtype)
