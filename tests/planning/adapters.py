"""Adapters that exist as catalogs only, for models that do."""

import math
from collections.abc import Mapping
from typing import Any

from distexpand.formats.catalog import Catalog, TensorEntry, WeightFile
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lora_settings import parse_lora_settings

FILE = "adapter_model.safetensors"
RANK = 2
PREFIX = "base_model.model."

Shapes = Mapping[str, tuple[int, ...]]


def lora(module: str, outputs: int, inputs: int, *, rank: int = RANK) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a linear module's two matrices."""
    return {f"{module}.lora_A.weight": (rank, inputs), f"{module}.lora_B.weight": (outputs, rank)}


def catalog_adapter(
    shapes: Shapes, *, name: str = "lora", dtype: DType = DType.F32, prefix: str = PREFIX, **config: Any
) -> Adapter:
    """Return an adapter of rank 2, alpha 4; names get PEFT's prefix."""
    entries, offset = {}, 100
    for path, shape in shapes.items():
        length = math.prod(shape) * dtype.bits // 8
        full = prefix + path
        entries[full] = TensorEntry(
            name=full, dtype=dtype, shape=shape, file=FILE, offset=offset, length=length
        )
        offset += length
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, **config}
    return Adapter(
        adapter=ModelRef(name=name),
        settings=parse_lora_settings(settings, origin=f"{name}/adapter_config.json"),
        catalog=Catalog(
            tensors=entries, files={FILE: WeightFile(name=FILE, size=offset, pin="1" * 64)}, metadata={}
        ),
    )
