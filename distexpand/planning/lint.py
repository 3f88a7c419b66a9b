"""What the sources show that the recipe alone doesn't: mixed dtypes, tokenizers, vocabularies, configs."""

from collections.abc import Iterator, Mapping, Sequence

from distexpand.findings import Finding
from distexpand.formats.dtypes import DType, promoted
from distexpand.planning.build import CarriedFile
from distexpand.planning.fit import is_tied
from distexpand.planning.lint_configs import lint_configs
from distexpand.planning.sources import SourceModel, used_sources
from distexpand.planning.stored_dtype import main_dtype
from distexpand.recipe.canonical import MergeMethod, ModelRef, Recipe

_TOKENIZER_CORE = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


def lint_sources(
    recipe: Recipe, models: Mapping[ModelRef, SourceModel], side_files: Sequence[CarriedFile]
) -> tuple[Finding, ...]:
    """Return findings about sources that differ from each other."""
    named = [source.model for part in recipe.parts() for source in used_sources(part)]
    used = [models[ref] for ref in dict.fromkeys([*named, recipe.base_model])]
    read = {*named, recipe.base_model, recipe.tokenizer}
    return (
        *_mixed_dtypes(recipe, used),
        *_vocabularies(used),
        *_tokenizers(recipe, [file for file in side_files if file.model in read]),
        *(found for model in used for found in lint_configs(models[recipe.base_model], model)),
        *_tied_head(recipe, models),
    )


def _mixed_dtypes(recipe: Recipe, used: Sequence[SourceModel]) -> Iterator[Finding]:
    dtypes = {
        model.model: main_dtype((entry.dtype, entry.length) for entry in model.catalog.tensors.values())
        for model in used
    }
    if recipe.dtype is None and recipe.out_dtype is None and len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{ref} {dtype.value}" for ref, dtype in dtypes.items())
        sums = _dtypes_of_sums(recipe, dtypes)
        outcome = f"; sums of them are stored as {' or '.join(sums)}" if sums else " and stay so"
        yield Finding(
            code="mixed-dtypes",
            message=f"sources are stored in different dtypes{outcome}: {listed}",
            advice=f"Set {'out_dtype' if sums else 'dtype'} in the recipe to make them one.",
        )


def _dtypes_of_sums(recipe: Recipe, dtypes: Mapping[ModelRef, DType]) -> list[str]:
    """Return the dtypes of the sums whose terms are of different ones."""
    if recipe.method is not MergeMethod.LINEAR:
        return []
    terms = [{dtypes[source.model] for source in used_sources(part)} for part in recipe.parts()]
    mixed = [each for each in terms if len(each) > 1 and all(dtype.is_plain_float for dtype in each)]
    return sorted({promoted(each).value for each in mixed})


def _vocabularies(used: Sequence[SourceModel]) -> Iterator[Finding]:
    sizes = {str(model.model): model.stack_config.get("vocab_size") for model in used}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        yield Finding(
            code="vocabularies-differ",
            message=f"vocabulary sizes differ: {listed}",
            advice="Layers work on any vocabulary, but embeddings, head and tokenizer must be of one model.",
        )


def _tokenizers(recipe: Recipe, side_files: Sequence[CarriedFile]) -> Iterator[Finding]:
    having = {file.model for file in side_files if file.name in _TOKENIZER_CORE}
    if having and recipe.tokenizer not in having:
        yield Finding(
            code="no-tokenizer",
            message=f"{recipe.tokenizer}: has no tokenizer files, so the output gets none",
            advice=f"Set tokenizer_source to a model that has them: {', '.join(map(str, sorted(having)))}.",
        )
    for name in _TOKENIZER_CORE:
        pins = {file.model: file.pin for file in side_files if file.name == name}
        if len(set(pins.values())) > 1:
            yield Finding(
                code="tokenizers-differ",
                message=f"{name} differs between {', '.join(map(str, pins))}",
                advice="Check that the models speak the same tokens; set tokenizer_source to choose one.",
            )


def _tied_head(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> Iterator[Finding]:
    embeddings, head = recipe.embeddings.sources[0].model, recipe.head.sources[0].model
    if is_tied(models[recipe.base_model]) and embeddings != head:
        yield Finding(
            code="tied-head",
            message=f"embeddings and head are tied, so the head is {embeddings}'s as well, not {head}'s",
        )
