"""What a plan's sources show that the recipe alone doesn't: mixed dtypes, tokenizers, vocabularies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from distexpand.findings import Finding
from distexpand.plan.build import CarriedFile
from distexpand.plan.sources import SourceModel
from distexpand.recipe.canonical import ModelRef, Recipe

_SHOULD_AGREE = (
    "hidden_act",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "layer_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "sliding_window",
    "tie_word_embeddings",
)
_TOKENIZER_CORE = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


def lint_sources(
    recipe: Recipe, models: Mapping[ModelRef, SourceModel], side_files: Sequence[CarriedFile]
) -> tuple[Finding, ...]:
    """Return findings about sources that differ from each other."""
    used = [models[ref] for ref in recipe.models() if ref in models]
    return (
        *_mixed_dtypes(recipe, used),
        *_vocabularies(used),
        *_tokenizers(side_files),
        *_configs(models[recipe.base_model], used),
        *_tied_head(recipe, models),
    )


def _mixed_dtypes(recipe: Recipe, used: Sequence[SourceModel]) -> Iterator[Finding]:
    dtypes = {model.model: _main_dtype(model) for model in used}
    if recipe.dtype is None and recipe.out_dtype is None and len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{ref} {dtype}" for ref, dtype in dtypes.items())
        yield Finding(
            code="mixed-dtypes",
            message=f"sources are stored in different dtypes and stay so: {listed}",
            advice="Set dtype in the recipe to make them one.",
        )


def _main_dtype(model: SourceModel) -> str:
    sizes: dict[str, int] = {}
    for entry in model.catalog.tensors.values():
        sizes[entry.dtype.value] = sizes.get(entry.dtype.value, 0) + entry.length
    return max(sizes, key=lambda name: sizes[name])


def _vocabularies(used: Sequence[SourceModel]) -> Iterator[Finding]:
    sizes = {str(model.model): model.stack_config.get("vocab_size") for model in used}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        yield Finding(
            code="vocabularies-differ",
            message=f"vocabulary sizes differ: {listed}",
            advice="Layers work on any vocabulary, but embeddings, head and tokenizer must be of one model.",
        )


def _tokenizers(side_files: Sequence[CarriedFile]) -> Iterator[Finding]:
    for name in _TOKENIZER_CORE:
        pins = {file.model: file.pin for file in side_files if file.name == name}
        if len(set(pins.values())) > 1:
            yield Finding(
                code="tokenizers-differ",
                message=f"{name} differs between {', '.join(map(str, pins))}",
                advice="Check that the models speak the same tokens; set tokenizer_source to choose one.",
            )


def _configs(base: SourceModel, used: Sequence[SourceModel]) -> Iterator[Finding]:
    for model in used:
        for key in _SHOULD_AGREE:
            left, right = base.stack_config.get(key), model.stack_config.get(key)
            if left != right and not _defaulted(left, right):
                yield Finding(
                    code="configs-differ",
                    message=f"{model.model}: config key {key!r} is {right!r}, "
                    f"but {left!r} in the base model {base.model}, whose value the output gets",
                )


def _defaulted(left: Any, right: Any) -> bool:
    return left is None or right is None


def _tied_head(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> Iterator[Finding]:
    embeddings, head = recipe.embeddings.sources[0].model, recipe.head.sources[0].model
    if models[recipe.base_model].config.get("tie_word_embeddings") and embeddings != head:
        yield Finding(
            code="tied-head",
            message=f"embeddings and head are tied, so the head is {embeddings}'s as well, not {head}'s",
        )
