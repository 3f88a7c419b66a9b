"""Models that exist as catalogs only: names, dtypes, shapes and ranges, without a byte behind them."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distexpand.formats.catalog import Catalog, TensorEntry, WeightFile
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter
from distexpand.planning.build import BuiltPlan, CarriedFile, build_plan
from distexpand.planning.sources import SourceModel, source_model
from distexpand.recipe.canonical import ModelRef, Recipe
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.recipe.render import canonical_yaml

HIDDEN, INNER, VOCABULARY = 4, 6, 10

LAYER = {
    "input_layernorm.weight": (HIDDEN,),
    "mlp.down_proj.weight": (HIDDEN, INNER),
    "mlp.gate_proj.weight": (INNER, HIDDEN),
    "mlp.up_proj.weight": (INNER, HIDDEN),
    "post_attention_layernorm.weight": (HIDDEN,),
    "self_attn.k_proj.weight": (2, HIDDEN),
    "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "self_attn.q_proj.weight": (HIDDEN, HIDDEN),
    "self_attn.v_proj.weight": (2, HIDDEN),
}

Shapes = Mapping[str, tuple[int, ...]]


def catalog_model(
    name: str,
    *,
    num_layers: int = 4,
    dtype: DType = DType.BF16,
    dtypes: Mapping[str, DType] | None = None,
    layer: Shapes = LAYER,
    vocabulary: int = VOCABULARY,
    head: bool = True,
    file_bytes: int = 10_000,
    **config: Any,
) -> SourceModel:
    """Return a model of llama's names; `dtypes` holds exceptions by the name's ending."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, HIDDEN)}
    for index in range(num_layers):
        shapes |= {f"model.layers.{index}.{suffix}": shape for suffix, shape in layer.items()}
    shapes |= {"model.norm.weight": (HIDDEN,)}
    shapes |= {"lm_head.weight": (vocabulary, HIDDEN)} if head else {}
    entries: dict[str, TensorEntry] = {}
    files: dict[str, int] = {}
    for tensor, shape in shapes.items():
        stored = next((d for ending, d in (dtypes or {}).items() if tensor.endswith(ending)), dtype)
        length = math.prod(shape) * stored.bits // 8
        file = f"model-{len(files)}.safetensors" if files else "model-0.safetensors"
        if files and files[max(files)] + length <= file_bytes:
            file = max(files)
        offset = files.get(file, 100)
        entries[tensor] = TensorEntry(
            name=tensor, dtype=stored, shape=shape, file=file, offset=offset, length=length
        )
        files[file] = offset + length
    weight_files = {file: WeightFile(name=file, size=size, pin="0" * 64) for file, size in files.items()}
    catalog = Catalog(tensors=entries, files=weight_files, metadata={"format": "pt"})
    settings = {"model_type": "llama", "num_hidden_layers": num_layers, "vocab_size": vocabulary, **config}
    return source_model(ModelRef(name=name), settings, catalog)


def models_of(*models: SourceModel) -> dict[ModelRef, SourceModel]:
    """Return models by their names."""
    return {model.model: model for model in models}


def recipe_over(text: str, models: Mapping[ModelRef, SourceModel]) -> Recipe:
    """Parse and lower a recipe over models."""
    draft = parse_recipe(text, origin="recipe.yml")
    return lower(draft, {ref: model.stack.num_layers for ref, model in models.items()})


def built(
    recipe: Recipe | str,
    models: Mapping[ModelRef, SourceModel],
    *,
    shard_size: int = 10**9,
    carried: tuple[CarriedFile, ...] = (),
    root: str = "/models",
    adapters: Mapping[ModelRef, Adapter] | None = None,
) -> BuiltPlan:
    """Build the plan of a recipe over models and adapters that lie below `root`."""
    lowered = recipe_over(recipe, models) if isinstance(recipe, str) else recipe
    locations = {ref: f"{root}/{ref.name}" for ref in [*models, *(adapters or {})]}
    return build_plan(
        lowered,
        canonical_yaml(lowered),
        models,
        carried,
        locations,
        shard_size=shard_size,
        adapters=adapters,
    )


def renamed(model: SourceModel, name: ModelRef) -> SourceModel:
    """Return the model under another name."""
    return replace(model, model=name)
