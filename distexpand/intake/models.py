"""All models of a recipe, found and read without their weights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from distexpand.closeness import did_you_mean
from distexpand.errors import UsageError
from distexpand.intake.adapter import read_adapter
from distexpand.intake.checkpoint import Checkpoint, read_checkpoint, read_side_files
from distexpand.intake.locate import locate, pinned, unused_places
from distexpand.intake.side_files import is_tokenizer_file
from distexpand.planning.adapters.adapter import Adapter
from distexpand.planning.build import CarriedFile
from distexpand.planning.sources import SourceModel, source_model
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.draft import Draft, with_models


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModels:
    """What planning needs of a recipe's models.

    `models` are those that give weights or config; `side_files` and `locations` also have
    one that gives its tokenizer only, and the adapters. `modules` are the same models with another stack, for
    every further stack of the recipe. `draft` is the parsed recipe with every model at the
    commit that was opened.
    """

    draft: Draft
    models: Mapping[ModelRef, SourceModel]
    adapters: Mapping[ModelRef, Adapter]
    modules: Mapping[str, Mapping[ModelRef, SourceModel]]
    side_files: Mapping[ModelRef, tuple[CarriedFile, ...]]
    locations: Mapping[ModelRef, str]

    @property
    def layer_counts(self) -> dict[ModelRef, int]:
        """Number of layers of each model."""
        return {ref: model.stack.num_layers for ref, model in self.models.items()}

    @property
    def module_layer_counts(self) -> dict[str, dict[ModelRef, int]]:
        """Number of layers of each model's further stacks."""
        return {
            stack: {ref: model.stack.num_layers for ref, model in models.items()}
            for stack, models in self.modules.items()
        }

    def carried_files(self, recipe: Recipe) -> list[CarriedFile]:
        """Return the base model's side files, the tokenizer's ones from the tokenizer's model."""
        base, tokenizer = self.side_files[recipe.base_model], self.side_files[recipe.tokenizer]
        return [
            *(file for file in base if not is_tokenizer_file(file.name)),
            *(file for file in tokenizer if is_tokenizer_file(file.name)),
        ]


def open_models(draft: Draft, places: Mapping[str, str]) -> OpenedModels:
    """Find and read the models of a recipe.

    Args:
        draft: the parsed recipe.
        places: path by model name.

    Raises:
        DistexpandError: a model isn't there, is damaged, or has no layers that can be found.
    """
    named = (*draft.models, *draft.adapters)
    spare = unused_places(places, named)
    if spare:
        listed = ", ".join(str(model) for model in named)
        raise UsageError(
            f"--model {spare[0]}=...: the recipe names no such model",
            hint=f"It names {listed}. {did_you_mean(spare[0], map(str, named))}".rstrip(),
        )
    located = {ref: locate(ref, places) for ref in named}
    stores = {pinned(ref, store): store for ref, store in located.items()}
    draft = with_models(draft, {ref: pinned(ref, store) for ref, store in located.items()})
    checkpoints = {ref: read_checkpoint(ref, stores[ref]) for ref in draft.weighted_models}
    side_files = {ref: checkpoint.side_files for ref, checkpoint in checkpoints.items()}
    for ref in (draft.tokenizer, *draft.adapters):
        if ref not in side_files:
            side_files[ref] = read_side_files(ref, stores[ref])
    return OpenedModels(
        draft=draft,
        models=_models(checkpoints, checkpoints, draft.stack),
        adapters={ref: read_adapter(ref, stores[ref]) for ref in draft.adapters},
        modules={
            module.stack: _models(
                [draft.base_model, *(s.model for part in module.slices for s in part.sources)],
                checkpoints,
                module.stack,
            )
            for module in draft.modules
        },
        side_files=side_files,
        locations={ref: store.location for ref, store in stores.items()},
    )


def _models(
    refs: Iterable[ModelRef], checkpoints: Mapping[ModelRef, Checkpoint], stack: str
) -> dict[ModelRef, SourceModel]:
    return {
        ref: source_model(ref, checkpoints[ref].config, checkpoints[ref].catalog, stack=stack)
        for ref in dict.fromkeys(refs)
    }
