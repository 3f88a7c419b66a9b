"""Model references in recipes: `name`, `name@revision`, or mergekit's mapping form."""

from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.located import Located, fields, required, text

_EXPECTED = "a model as `name`, `name@revision` or a local path"
_ADAPTER = "adapters inside a recipe come later; merge the adapter into its model first"
_REFUSED = {
    "lora": _ADAPTER,
    "override_architecture": "the architecture is found from the tensors' names",
}
_RESERVED = frozenset({"base", "union"})


def parse_model(place: Located) -> ModelRef:
    """Read a model reference in any of its forms."""
    if isinstance(place.value, dict):
        found = fields(place, ("model",), refused=_REFUSED)
        return _parse_path(required(place, found, "model", "the model's name or path"))
    name = text(place, _EXPECTED)
    if "+" in name:
        raise place.error(f"found {name!r}: `model+adapter` is not supported: {_ADAPTER}")
    return _parse_text(place)


def _parse_path(place: Located) -> ModelRef:
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


def parse_tokenizer_source(place: Located, base_model: ModelRef) -> ModelRef:
    """Read `base`, a model, or the older form `model:NAME`."""
    if place.value == "base":
        return base_model
    if place.value == "union":
        reason = "it makes new embeddings for a mixed vocabulary, which is not an expansion"
        raise place.error(f"`union` is not supported: {reason}", hint="Use `base` or name one model.")
    if isinstance(place.value, str) and place.value.startswith("model:"):
        return parse_model(
            Located(value=place.value.removeprefix("model:"), path=place.path, origin=place.origin)
        )
    return parse_model(place)


def plain_model(model: ModelRef) -> str | dict[str, object]:
    """Return the reference as `parse_model` reads it back: text where that is unambiguous."""
    name, revision = model.name, model.revision
    ambiguous = any(mark in name for mark in "@+") or any(mark in (revision or "") for mark in "@+")
    if not ambiguous and not name.startswith("model:") and name not in _RESERVED:
        return str(model)
    path = {"path": name} if revision is None else {"path": name, "revision": revision}
    return {"model": path}
