"""Provenance of every output layer, in words that the manifest and the layer picture use."""

from collections import Counter
from collections.abc import Mapping

from distexpand.architecture.config.remap import LayerConfig, layer_kind
from distexpand.architecture.residual.identity import identity_values
from distexpand.errors import ArchitectureError
from distexpand.planning.model import LayerOrigin
from distexpand.planning.sources import SourceModel, primary_source, used_sources
from distexpand.recipe.canonical import MergeMethod, ModelRef, Part, Recipe, Rule, Source, first_match


def layer_configs(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> tuple[LayerConfig, ...]:
    """Return where each output layer's per-layer config values come from."""
    result = []
    for part in recipe.layers:
        source = primary_source(part)
        model = models[source.model]
        result.append(
            LayerConfig(
                config=model.config,
                stack=model.stack,
                layer=source.layer or 0,
                origin=str(source.model),
                identity=part.identity,
                tensors=model.layers[source.layer or 0].keys(),
            )
        )
    return tuple(result)


def layer_origins(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> tuple[LayerOrigin, ...]:
    """Return the provenance of every output layer."""
    seen: Counter[tuple[ModelRef, int | None]] = Counter()
    origins = []
    for part, config in zip(recipe.layers, layer_configs(recipe, models), strict=True):
        source = primary_source(part)
        key = (source.model, source.layer)
        identity = part.identity or _is_zeroed_by_rules(source, models[source.model])
        origin = _origin(recipe, part, copy=seen[key], identity=identity, kind=layer_kind(config))
        origins.append(origin)
        seen[key] += 1
    return tuple(origins)


def _origin(recipe: Recipe, part: Part, *, copy: int, identity: bool, kind: str) -> LayerOrigin:
    source = primary_source(part)
    return LayerOrigin(
        model=str(source.model),
        layer=source.layer or 0,
        others=tuple(f"{s.model}:{s.layer}" for s in used_sources(part) if s is not source),
        copy=copy,
        identity=identity,
        new=copy > 0 or identity,
        transforms=_transforms(recipe, part, source),
        kind=kind,
    )


def _is_zeroed_by_rules(source: Source, model: SourceModel) -> bool:
    """Whether scale rules zero all residual outputs, as published recipes write identity blocks."""
    if all(rule.value != 0 for rule in source.scale):
        return False
    layer = model.layers[source.layer or 0]
    try:
        dtypes = {suffix: entry.dtype for suffix, entry in layer.items()}
        values = identity_values(dtypes, model.stack_config, origin=str(source.model))
    except ArchitectureError:
        return False
    return all(
        value == 0 and first_match(source.scale, layer[suffix].name, 1.0) == 0
        for suffix, value in values.items()
    )


def _transforms(recipe: Recipe, part: Part, source: Source) -> tuple[str, ...]:
    words = [f"adapter {s.adapter}" for s in used_sources(part) if s.adapter is not None]
    words += ["residual outputs zeroed"] if part.identity else []
    if recipe.method is MergeMethod.LINEAR:
        words += [
            f"{s.model}:{s.layer} weight {_rules(s.weight)}"
            for s in used_sources(part)
            if s.weight and len(part.sources) > 1
        ]
    elif any(rule.value != 1 for rule in source.scale):
        words.append(f"scale {_rules(source.scale)}")
    return tuple(words)


def _rules(rules: tuple[Rule, ...]) -> str:
    return ", ".join(f"{rule.filter or 'all'}={rule.value:g}" for rule in rules)
