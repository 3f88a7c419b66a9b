"""PEFT's `adapter_config.json` with `layer_replication`: the base model's layers, stacked anew.

The file is PEFT's and describes an adapter; only the base model and the layer ranges
concern us, so unlike everywhere else the other keys are left alone.
"""

from collections.abc import Mapping

from distexpand.recipe.canonical import MergeMethod, ModelRef
from distexpand.recipe.document import Document
from distexpand.recipe.draft import Draft
from distexpand.recipe.located import Located, child, text
from distexpand.recipe.model_reference import parse_path
from distexpand.recipe.shorthand import NO_MODEL_HINT, layer_map

KEYS = ("peft_type", "layer_replication", "base_model_name_or_path")


def parse_adapter_config(document: Document, *, origin: str, default_model: ModelRef | None) -> Draft:
    """Read a document of this dialect; `default_model` goes before the file's own base model."""
    root = Located(value=document.data, path="", origin=origin)
    replication = child(root, "layer_replication", document.data.get("layer_replication"))
    if replication.value is None:
        found = "is null" if "layer_replication" in document.data else "is missing"
        raise replication.error(
            f"it {found}; this adapter doesn't change the layers, so nothing is to be expanded"
        )
    model = default_model or base_model(document.data, origin=origin)
    return Draft(
        origin=origin,
        method=MergeMethod.PASSTHROUGH,
        layers=layer_map(replication, model),
        base_model=model,
        tokenizer=model,
    )


def base_model(config: Mapping[str, object], *, origin: str) -> ModelRef:
    """Return the model that an adapter's config names.

    Raises:
        RecipeError: it names none.
    """
    root = Located(value=config, path="", origin=origin)
    place = child(root, "base_model_name_or_path", config.get("base_model_name_or_path"))
    if not place.value:
        raise place.error("the adapter names no base model", hint=NO_MODEL_HINT)
    model = parse_path(place)
    revision = child(root, "revision", config.get("revision"))
    if revision.value is None or model.revision is not None:
        return model
    return ModelRef(name=model.name, revision=text(revision, "a revision as text"))
