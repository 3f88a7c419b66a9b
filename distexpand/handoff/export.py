"""A recipe as PEFT can train it: the LoRA config whose `layer_replication` stacks the same layers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distexpand.errors import UsageError
from distexpand.handoff.lora_config import LoraChoice, lora_config
from distexpand.handoff.lora_python import lora_python
from distexpand.handoff.replication import replicated
from distexpand.handoff.target_modules import target_modules
from distexpand.intake.locate import default_model
from distexpand.intake.models import open_models
from distexpand.planning.adapters.adapter import ADAPTER_CONFIG_NAME
from distexpand.planning.survey import survey
from distexpand.recipe.lower import lower
from distexpand.recipe.parse import parse_recipe
from distexpand.storage.local.os_errors import storage_error


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraExport:
    """PEFT's `adapter_config.json`, the same as Python to paste, and what is to be known beside it."""

    config: dict[str, Any]
    python: str
    notes: tuple[str, ...]


def export_lora(
    recipe_text: str, *, origin: str, places: Mapping[str, str], choice: LoraChoice
) -> LoraExport:
    """Return the LoRA config of a recipe that replicates layers of one model; reads headers and configs.

    Args:
        recipe_text: in any dialect.
        origin: what to call it.
        places: path by model name; the empty name gives the model of a recipe that names none.
        choice: what the recipe doesn't say.

    Raises:
        RecipeError: PEFT can't express the recipe; says why, and what it could.
        DistexpandError: recipe or model can't be read.
    """
    default, places = default_model(places)
    opened = open_models(parse_recipe(recipe_text, origin=origin, default_model=default), places)
    recipe = lower(opened.draft, opened.layer_counts, opened.module_layer_counts)
    model = opened.models[recipe.base_model]
    ranges = replicated(recipe, model.stack.prefix)
    targets = target_modules(model)
    config = lora_config(model, ranges, targets, choice)
    lists = sorted({"layer_types", *(key for key in survey(model).lists if "." not in key)})
    return LoraExport(
        config=config,
        python=lora_python(config, recipe.out_dtype or recipe.dtype, lists),
        notes=targets.notes,
    )


def write_adapter_config(export: LoraExport, directory: Path) -> Path:
    """Write a config into a directory, where there is none, and return its path.

    Raises:
        UsageError: there is one.
        StorageError: it can't be written.
    """
    path = directory / ADAPTER_CONFIG_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(export.config, indent=2) + "\n")
    except FileExistsError:
        raise UsageError(f"{path}: exists", hint="Give another directory, or remove it.") from None
    except OSError as error:
        raise storage_error("write the adapter's config", path, error) from None
    return path
