"""What all parts of a recipe are resolved with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from distexpand.formats.catalog import TensorEntry
from distexpand.planning.adapters.adapter import AppliedAdapter, Change
from distexpand.planning.modules import StackRecipe
from distexpand.planning.sources import SourceModel
from distexpand.planning.tensors import Casting, SourceNumber
from distexpand.recipe.canonical import ModelRef, Part, Recipe, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """A recipe, the models that it names, and the numbers of their files.

    `further` are the other stacks that are expanded beside this one: a tensor outside of all
    stacks may hold a part for each layer of any of them. `adapters` are by adapter and model.
    """

    recipe: Recipe
    models: Mapping[ModelRef, SourceModel]
    number: SourceNumber
    further: tuple[StackRecipe, ...] = ()
    adapters: Mapping[tuple[ModelRef, ModelRef], AppliedAdapter] = field(default_factory=dict)

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

    def change(self, source: Source, entry: TensorEntry) -> Change | None:
        """Return what the source's adapter makes of a tensor of its model, if anything."""
        if source.adapter is None:
            return None
        changes = self.adapters[source.adapter, source.model].changes
        if source.adapter_layer is None:
            return changes.get((None, entry.name))
        split = self.models[source.model].stack.split(entry.name)
        return None if split is None else changes.get((source.adapter_layer, split[1]))
