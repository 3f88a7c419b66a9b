"""Baking: the recipe that merges a trained adapter into its model, from the adapter alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from distexpand.intake.adapter import read_adapter_config
from distexpand.intake.locate import default_model, locate, name_of_place
from distexpand.planning.adapters.adapter import ADAPTER_CONFIG_NAME
from distexpand.recipe.adapter_config import base_model
from distexpand.recipe.adapter_recipe import adapter_recipe
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.lora_settings import parse_lora_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Baking:
    """A recipe, what to call it in messages, and where the models that it names lie."""

    recipe: str
    origin: str
    places: Mapping[str, str]


def baking(
    place: str,
    places: Mapping[str, str],
    *,
    adapter_tokenizer: bool = False,
    out_dtype: str | None = None,
) -> Baking:
    """Return the recipe that merges an adapter into its model.

    Args:
        place: of the adapter, a path or an address.
        places: path by model name; the empty name gives the base model, whatever the adapter calls it.
        adapter_tokenizer: whether the tokenizer is the adapter's.
        out_dtype: torch's name of what is stored; nothing for what the model has.

    Raises:
        DistexpandError: there is no adapter that could be merged, or it names no model.
    """
    adapter = name_of_place(place)
    store = locate(adapter, {str(adapter): place})
    origin = f"{store.location}/{ADAPTER_CONFIG_NAME}"
    config = read_adapter_config(store)
    settings = parse_lora_settings(config, origin=origin)
    given, named = default_model(places)
    model = given or base_model(config, origin=origin)
    adapter = _another_name(adapter, model)
    tokenizer = adapter if adapter_tokenizer else model
    return Baking(
        recipe=adapter_recipe(model, adapter, settings, tokenizer=tokenizer, out_dtype=out_dtype),
        origin=f"the recipe of {place}",
        places={**named, str(adapter): place},
    )


def _another_name(adapter: ModelRef, model: ModelRef) -> ModelRef:
    """Return the adapter under a name that can be given a place: another than its model's, without `=`."""
    name = adapter.name.replace("=", "-")
    return replace(adapter, name=f"{name}-adapter" if name == model.name else name)
