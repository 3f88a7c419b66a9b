"""A LoRA adapter as planning sees it, and what it makes of each tensor of a model.

Pure data. Where the pieces of an adapter belong is settled in `match`; how a changed tensor
comes to be is that of `tensors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distexpand.formats.catalog import Catalog, TensorEntry
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lora_settings import LoraSettings

ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHT_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
"""In the order in which PEFT looks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter, read without its weights: settings, and the catalog of its one weight file."""

    adapter: ModelRef
    settings: LoraSettings
    catalog: Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """The two matrices whose product, times `scaling`, is added: `a` (rank, inputs), `b` (outputs, rank).

    With `transposed` the tensor is stored as (inputs, outputs). With a `magnitude` (outputs)
    every row of the sum is brought to that length (DoRA).
    """

    a: TensorEntry
    b: TensorEntry
    rank: int
    scaling: float
    transposed: bool
    magnitude: TensorEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledVector:
    """A vector that is added `scaling` times: the bias of an adapter's second matrix."""

    entry: TensorEntry
    scaling: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an adapter makes of one tensor: another one takes its place, then something is added."""

    adapter: ModelRef
    replaced: TensorEntry | None = None
    added: LowRank | ScaledVector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedAdapter:
    """An adapter matched with a model, as seen from one stack of it.

    `changes` are by the adapter's layer and the tensor's suffix in it, or `None` and the full
    name for a tensor outside the stack. `base_layers[j]` is the model's layer that the
    adapter's layer j was trained on.
    """

    adapter: Adapter
    base_layers: tuple[int, ...]
    changes: Mapping[tuple[int | None, str], Change]
