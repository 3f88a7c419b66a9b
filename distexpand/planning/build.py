"""Build the plan of a recipe over its sources: resolve, pack, remap the config, pin the sources."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distexpand.architecture.config.remap import RemappedConfig, remap_config
from distexpand.findings import Finding
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter
from distexpand.planning.adapters.use import applied_adapters, lint_adapters
from distexpand.planning.fit import check_fit, check_layers
from distexpand.planning.layout import Layout
from distexpand.planning.model import CONFIG_NAME, CopiedFile, Plan, SourceFile, TextFile
from distexpand.planning.modules import ModelsByStack, StackRecipe, stack_recipes
from distexpand.planning.origins import layer_configs, layer_origins
from distexpand.planning.pack import pack
from distexpand.planning.resolve import resolve_layers, resolve_tensors
from distexpand.planning.resolver import Resolver
from distexpand.planning.sources import SourceModel
from distexpand.planning.stored_dtype import changed_dtype
from distexpand.recipe.canonical import ModelRef, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFile:
    """A side file to carry over as it is: the model that it comes from, its name, bytes and SHA-256."""

    model: ModelRef
    name: str
    size: int
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """A plan, and what was noticed while making it."""

    plan: Plan
    findings: tuple[Finding, ...]
    remapped_keys: tuple[str, ...]


class SourceTable:
    """Numbers source files in order of first use."""

    def __init__(self, models: Mapping[ModelRef, SourceModel], adapters: Mapping[ModelRef, Adapter]) -> None:
        catalogs = [
            *((ref, model.catalog) for ref, model in models.items()),
            *((ref, adapter.catalog) for ref, adapter in adapters.items()),
        ]
        self._files = {
            (str(ref), name): file for ref, catalog in catalogs for name, file in catalog.files.items()
        }
        self._numbers: dict[tuple[str, str], int] = {}
        self.files: list[SourceFile] = []

    def number(self, model: str, file: str) -> int:
        """Return the number of a model's weight file."""
        known = self._numbers.get((model, file))
        if known is not None:
            return known
        weights = self._files[model, file]
        return self.add(SourceFile(model=model, path=file, size=weights.size, pin=weights.pin))

    def add(self, file: SourceFile) -> int:
        """Number a file."""
        self.files.append(file)
        self._numbers[file.model, file.path] = len(self.files) - 1
        return len(self.files) - 1


def build_plan(
    recipe: Recipe,
    canonical: str,
    models: Mapping[ModelRef, SourceModel],
    carried: Sequence[CarriedFile],
    locations: Mapping[ModelRef, str],
    *,
    shard_size: int,
    layout: Layout = Layout.LAYERS,
    modules: ModelsByStack | None = None,
    adapters: Mapping[ModelRef, Adapter] | None = None,
) -> BuiltPlan:
    """Return the plan of a recipe, without a model card.

    Args:
        recipe: the canonical recipe.
        canonical: its text.
        models: every model of the recipe.
        carried: side files that go to the output unchanged.
        locations: where each model and adapter was found.
        shard_size: bytes of tensor data per shard.
        layout: which tensors share a shard.
        modules: the models seen from each further stack of the recipe.
        adapters: every adapter of the recipe.

    Raises:
        RecipeError: the recipe doesn't fit its models.
        ArchitectureError: the config or an identity block can't be expressed.
    """
    main, *further = stack_recipes(recipe, models, modules or {})
    check_fit(main.recipe, main.models)
    for part in further:
        check_layers(part.recipe, part.models)
    adapters = adapters or {}
    table = SourceTable(models, adapters)
    applied = applied_adapters([recipe.embeddings, *recipe.layers, recipe.head], models, adapters)
    resolver = Resolver(
        recipe=recipe, models=main.models, number=table.number, further=tuple(further), adapters=applied
    )
    tensors = list(resolve_tensors(resolver))
    for part in further:
        own = applied_adapters(part.recipe.layers, part.models, adapters)
        resolver = Resolver(recipe=part.recipe, models=part.models, number=table.number, adapters=own)
        tensors += resolve_layers(resolver)
    base = models[recipe.base_model]
    remapped = _remapped([main, *further])
    shards = pack(tensors, base.catalog.metadata, shard_size=shard_size, layout=layout)
    copies = tuple(
        CopiedFile(
            name=file.name,
            source=table.add(SourceFile(model=str(file.model), path=file.name, size=file.size, pin=file.pin)),
        )
        for file in carried
    )
    config = _with_dtype(remapped.config, changed_dtype(recipe, tensors))
    plan = Plan(
        recipe=canonical,
        sources=tuple(table.files),
        shards=shards,
        texts=(TextFile(name=CONFIG_NAME, text=json.dumps(config, indent=2, ensure_ascii=False) + "\n"),),
        copies=copies,
        layers=layer_origins(recipe, models),
        layer_prefix=base.stack.prefix,
        parameters=sum(tensor.parameters for tensor in tensors),
        source_parameters=sum(entry.parameters for entry in base.catalog.tensors.values()),
        locations=tuple(
            (str(ref), locations[ref]) for ref in dict.fromkeys([*recipe.models(), *recipe.adapters()])
        ),
    )
    return BuiltPlan(
        plan=plan,
        findings=(*remapped.findings, *lint_adapters(recipe, applied)),
        remapped_keys=remapped.remapped,
    )


def _remapped(parts: Sequence[StackRecipe]) -> RemappedConfig:
    """Return the base model's config for the new layers of every stack."""
    ref = parts[0].recipe.base_model
    config: Mapping[str, Any] = parts[0].models[ref].config
    done = []
    for part in parts:
        models = {**part.models, ref: replace(part.models[ref], config=config)}
        done.append(remap_config(config, models[ref].stack, layer_configs(part.recipe, models)))
        config = done[-1].config
    return RemappedConfig(
        config=done[-1].config,
        remapped=tuple(key for part in done for key in part.remapped),
        findings=tuple(dict.fromkeys(finding for part in done for finding in part.findings)),
    )


def _with_dtype(config: dict[str, Any], dtype: DType | None) -> dict[str, Any]:
    """Return the config with its dtype keys, nested ones too, set to what the output is stored in."""
    if dtype is None or dtype.torch_name is None:
        return config
    keys = [key for key in ("dtype", "torch_dtype") if key in config] or ["torch_dtype"]
    nested = {
        key: {**value, **{name: dtype.torch_name for name in ("dtype", "torch_dtype") if name in value}}
        for key, value in config.items()
        if isinstance(value, dict)
    }
    return {**config, **nested, **dict.fromkeys(keys, dtype.torch_name)}
