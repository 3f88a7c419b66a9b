"""Which class loads a checkpoint: the one that its config names, else the one that transformers takes."""

from typing import Any


class UnknownModelError(Exception):
    """Transformers has no class for the model, or only by running code that came with it."""


def read_config(directory: str, *, trust_remote_code: bool) -> Any:
    """Return the config as transformers reads it.

    Raises:
        UnknownModelError: transformers doesn't know the model type.
    """
    import json  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import transformers  # noqa: PLC0415
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: PLC0415

    document = json.loads((Path(directory) / "config.json").read_bytes())
    if document.get("model_type") not in CONFIG_MAPPING and not (
        trust_remote_code and "auto_map" in document
    ):
        raise UnknownModelError(_unknown(document, transformers.__version__))
    return transformers.AutoConfig.from_pretrained(directory, trust_remote_code=trust_remote_code)


def _unknown(document: dict[str, Any], version: str) -> str:
    words = f"transformers {version} doesn't know the model type {document.get('model_type')!r}"
    if "auto_map" in document:
        words += "; the model brings its own code, which runs with --trust-remote-code only"
    return words


def load_class(config: Any, directory: str, *, trust_remote_code: bool) -> Any:
    """Return the class that loads the model.

    Raises:
        UnknownModelError: there is none.
    """
    import transformers  # noqa: PLC0415
    from transformers.models.auto import modeling_auto  # noqa: PLC0415

    names = [
        *(config.architectures or ()),
        *filter(None, [modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)]),
    ]
    for name in names:
        found = getattr(transformers, name, None)
        if found is not None:
            return found
    custom = getattr(config, "auto_map", None) or {}
    for key, reference in custom.items():
        if trust_remote_code and key.startswith("AutoModel"):
            from transformers.dynamic_module_utils import get_class_from_dynamic_module  # noqa: PLC0415

            return get_class_from_dynamic_module(reference, directory)
    wanted = " or ".join(map(repr, names)) or repr(config.model_type)
    raise UnknownModelError(f"transformers {transformers.__version__} has no class {wanted}")
