"""Models of any tensor names, as catalogs only, and what a plan makes of them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from distexpand.formats.catalog import Catalog, TensorEntry, WeightFile
from distexpand.formats.dtypes import DType
from distexpand.planning.build import BuiltPlan, build_plan
from distexpand.planning.check import check_plan, shard_header
from distexpand.planning.operations import Copy, Gather
from distexpand.planning.sources import SourceModel, source_model
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml

FILE = "model.safetensors"


def catalog_of(tensors: Iterable[str] | Mapping[str, tuple[int, ...]]) -> Catalog:
    """Return a catalog of tensors in BF16, four elements each where no shape is given."""
    shapes = tensors if isinstance(tensors, Mapping) else dict.fromkeys(tensors, (4,))
    entries = {}
    offset = 8
    for name, shape in shapes.items():
        length = math.prod(shape) * 2
        entries[name] = TensorEntry(
            name=name, dtype=DType.BF16, shape=shape, file=FILE, offset=offset, length=length
        )
        offset += length
    files = {FILE: WeightFile(name=FILE, size=offset, pin="0" * 64)}
    return Catalog(tensors=entries, files=files, metadata={})


def planned(
    recipe: str, models: Mapping[str, tuple[Catalog, dict[str, Any]]]
) -> tuple[BuiltPlan, dict[str, str]]:
    """Plan a recipe and return, for every output tensor that is copied, the tensor that it is a copy of.

    Tensors of another operation have that operation's name.
    """
    draft = parse_recipe(recipe, origin="recipe.yml")

    def seen(stack: str) -> dict[ModelRef, SourceModel]:
        return {
            ref: source_model(ref, config, catalog, stack=stack)
            for ref, (catalog, config) in ((ModelRef(name=name), model) for name, model in models.items())
        }

    main, modules = seen(draft.stack), {module.stack: seen(module.stack) for module in draft.modules}
    counts = {ref: model.stack.num_layers for ref, model in main.items()}
    further = {
        stack: {ref: model.stack.num_layers for ref, model in views.items()}
        for stack, views in modules.items()
    }
    lowered = lower(draft, counts, further)
    built = build_plan(
        lowered,
        canonical_yaml(lowered),
        main,
        [],
        dict.fromkeys(main, "/m"),
        shard_size=10**9,
        modules=modules,
    )
    check_plan(built.plan)
    assert lower(parse_recipe(built.plan.recipe, origin="canonical"), counts, further) == lowered
    return built, _origins(built, models)


def _origins(built: BuiltPlan, models: Mapping[str, tuple[Catalog, dict[str, Any]]]) -> dict[str, str]:
    plan = built.plan
    at = {
        (name, entry.offset): entry.name
        for name, (catalog, _) in models.items()
        for entry in catalog.tensors.values()
    }
    found = {}
    for shard in plan.shards:
        starts = {entry.offset: name for name, entry in shard_header(shard).tensors.items()}
        for operation in shard.operations:
            if isinstance(operation, Copy | Gather):
                source = at[plan.sources[operation.source].model, operation.source_offset]
            kind = type(operation).__name__
            found[starts[operation.offset]] = source if isinstance(operation, Copy) else kind
    return found
