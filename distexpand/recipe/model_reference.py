"""Model references in recipes: `name`, `name@revision`, or mergekit's mapping form.

Where layers are taken from a model, an adapter that is merged into it first can be
named with it: `model+adapter`, or `lora` in the mapping.
"""

from dataclasses import dataclass

from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.located import Located, fields, required, text

_EXPECTED = "a model as `name`, `name@revision` or a local path"
_REFUSED = {"override_architecture": "the architecture is found from the tensors' names"}
_RESERVED = frozenset({"base", "union"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """A model and the adapter that is merged into it, if any."""

    model: ModelRef
    adapter: ModelRef | None = None


def parse_model(place: Located) -> ModelRef:
    """Read a model reference in any of its forms, where an adapter would mean nothing."""
    found = parse_adapted(place)
    if found.adapter is not None:
        raise place.error(
            f"found {found.model} with the adapter {found.adapter}; expected a model alone, "
            "as no tensors are taken from it here"
        )
    return found.model


def parse_adapted(place: Located) -> Adapted:
    """Read a model, or a model and an adapter, in any of their forms."""
    if isinstance(place.value, dict):
        found = fields(place, ("model", "lora"), refused=_REFUSED)
        model = parse_path(required(place, found, "model", "the model's name or path"))
        return Adapted(model=model, adapter=parse_path(found["lora"]) if "lora" in found else None)
    name, plus, adapter = text(place, _EXPECTED).partition("+")
    if not plus:
        return Adapted(model=_parse_text(place))
    if "+" in adapter:
        raise place.wrong("a model and one adapter at most, as `model+adapter`")
    return Adapted(model=_parse_text(_other(place, name)), adapter=_parse_text(_other(place, adapter)))


def parse_path(place: Located) -> ModelRef:
    """Read mergekit's inner form: text, or `{path, revision}`, where `+` is an ordinary character."""
    if not isinstance(place.value, dict):
        return _parse_text(place)
    found = fields(place, ("path", "revision"))
    name = text(required(place, found, "path", "the model's name or path"), _EXPECTED)
    revision = text(found["revision"], "a revision as text") if "revision" in found else None
    return ModelRef(name=name, revision=revision)


def _parse_text(place: Located) -> ModelRef:
    name, at, revision = text(place, _EXPECTED).partition("@")
    if "@" in revision or not name or bool(at) != bool(revision):
        raise place.wrong(f"{_EXPECTED}, with one `@` at most")
    return ModelRef(name=name, revision=revision or None)


def _other(place: Located, value: str) -> Located:
    return Located(value=value, path=place.path, origin=place.origin)


def parse_tokenizer_source(place: Located, base_model: ModelRef) -> ModelRef:
    """Read `base`, a model, or the older form `model:NAME`."""
    if place.value == "base":
        return base_model
    if place.value == "union":
        reason = "it makes new embeddings for a mixed vocabulary, which is not an expansion"
        raise place.error(f"`union` is not supported: {reason}", hint="Use `base` or name one model.")
    if isinstance(place.value, str) and place.value.startswith("model:"):
        return parse_model(_other(place, place.value.removeprefix("model:")))
    return parse_model(place)


def plain_model(model: ModelRef, adapter: ModelRef | None = None) -> str | dict[str, object]:
    """Return a reference as `parse_adapted` reads it back: text where that is unambiguous."""
    whole = str(model) if adapter is None else f"{model}+{adapter}"
    if not any(_is_ambiguous(ref) for ref in (model, adapter) if ref is not None) and whole not in _RESERVED:
        return whole
    mapping: dict[str, object] = {"model": _plain_path(model)}
    return mapping if adapter is None else {**mapping, "lora": _plain_path(adapter)}


def _is_ambiguous(model: ModelRef) -> bool:
    name, revision = model.name, model.revision
    marked = any(mark in name for mark in "@+") or any(mark in (revision or "") for mark in "@+")
    return marked or name.startswith("model:")


def _plain_path(model: ModelRef) -> dict[str, object]:
    revision = {} if model.revision is None else {"revision": model.revision}
    return {"path": model.name, **revision}
