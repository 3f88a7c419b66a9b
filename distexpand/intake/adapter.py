"""A LoRA adapter as PEFT saves it: `adapter_config.json`, and one file of weights.

The settings are read strictly (`recipe.lora_settings`), the weights by their header alone.
"""

from distexpand.errors import CheckpointError
from distexpand.formats.json_text import load_json_object
from distexpand.intake.pins import read_whole
from distexpand.intake.weights import read_shards
from distexpand.planning.adapters.adapter import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHT_NAMES, Adapter
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lora_settings import parse_lora_settings
from distexpand.storage.ranges import SourceStore


def read_adapter(adapter: ModelRef, store: SourceStore) -> Adapter:
    """Read an adapter's settings and catalog.

    Raises:
        CheckpointError: a file is missing or damaged.
        RecipeError: it is an adapter of another kind, or can't be merged.
        StorageError: a file can't be read.
    """
    config = read_adapter_config(store)
    settings = parse_lora_settings(config, origin=f"{store.location}/{ADAPTER_CONFIG_NAME}")
    weights = next((name for name in ADAPTER_WEIGHT_NAMES if name in store.files()), None)
    if weights is None:
        raise CheckpointError(
            f"{store.location}: no weights of an adapter found: neither {' nor '.join(ADAPTER_WEIGHT_NAMES)}",
            hint="Save it with PEFT's save_pretrained.",
        )
    return Adapter(adapter=adapter, settings=settings, catalog=read_shards(store, [weights]))


def read_adapter_config(store: SourceStore) -> dict[str, object]:
    """Return what an adapter's config says.

    Raises:
        CheckpointError: there is none, or it is damaged.
        StorageError: it can't be read.
    """
    if ADAPTER_CONFIG_NAME not in store.files():
        raise CheckpointError(
            f"{store.location}: no {ADAPTER_CONFIG_NAME}", hint="Is this the directory of a PEFT adapter?"
        )
    raw = read_whole(store, ADAPTER_CONFIG_NAME)
    return load_json_object(raw, origin=f"{store.location}/{ADAPTER_CONFIG_NAME}")
