"""The canonical form as text, in mergekit's own form.

Layers that continue one another are one slice. The text is mergekit's unless the
recipe has identity blocks (`identity: true`), layers of an adapter under other numbers
than the model's (`adapter_range:`), or embeddings or a head that don't
follow from the first or last slice (`embeddings:`, `head:`). Parsing and lowering the
text gives the recipe back, whichever dialect it came from.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import yaml

from distexpand.formats.dtypes import DType
from distexpand.recipe.canonical import Part, Recipe, Rule, Source
from distexpand.recipe.model_reference import plain_model


class _Dumper(yaml.SafeDumper):
    """Writes every occurrence out instead of anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def canonical_yaml(recipe: Recipe) -> str:
    """Print the recipe as a YAML config."""
    slices = list(_slices(recipe.layers))
    content = _plain_layers(recipe)
    if recipe.embeddings != _outside(slices[0][0]):
        content["embeddings"] = _plain_part(recipe.embeddings, None)
    if recipe.head != _outside(slices[-1][0]):
        content["head"] = _plain_part(recipe.head, None)
    content["merge_method"] = recipe.method.value
    content["base_model"] = plain_model(recipe.base_model)
    if recipe.tokenizer != recipe.base_model:
        content["tokenizer_source"] = plain_model(recipe.tokenizer)
    content |= _plain_dtype("dtype", recipe.dtype) | _plain_dtype("out_dtype", recipe.out_dtype)
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=110,
    )


def _plain_layers(recipe: Recipe) -> dict[str, object]:
    """Return `slices`, with `stack` where that isn't the usual one, or `modules` where there are several."""
    slices = _plain_slices(recipe.layers)
    if recipe.modules:
        further = {module.stack: {"slices": _plain_slices(module.layers)} for module in recipe.modules}
        return {"modules": {recipe.stack or "default": {"slices": slices}, **further}}
    return ({"stack": recipe.stack} if recipe.stack else {}) | {"slices": slices}


def _plain_slices(layers: Iterable[Part]) -> list[object]:
    return [_plain_part(part, length) for part, length in _slices(layers)]


def _slices(layers: Iterable[Part]) -> Iterator[tuple[Part, int]]:
    """Yield the first part and the length of every run of layers that continue one another."""
    first: Part | None = None
    length = 0
    for part in layers:
        if first is not None and part == _shifted(first, length):
            length += 1
            continue
        if first is not None:
            yield first, length
        first, length = part, 1
    if first is not None:
        yield first, length


def _shifted(part: Part, by: int) -> Part:
    """Return the part with every source `by` layers further on."""
    return replace(part, sources=tuple(_at(source, by) for source in part.sources))


def _at(source: Source, by: int) -> Source:
    if source.layer is None:
        return source
    own = None if source.adapter_layer is None else source.adapter_layer + by
    return replace(source, layer=source.layer + by, adapter_layer=own)


def _outside(part: Part) -> Part:
    """Return the embeddings or head that follow from a slice."""
    sources = tuple(replace(source, layer=None, adapter_layer=None) for source in part.sources)
    return replace(part, sources=sources, identity=False)


def _plain_part(part: Part, length: int | None) -> dict[str, object]:
    """Return a slice of `length` layers that starts with `part`, or a part outside the layers."""
    sources = [_plain_source(source, length, identity=part.identity) for source in part.sources]
    plain: dict[str, object] = {"sources": sources}
    if not part.normalize:
        plain["parameters"] = {"normalize": False}
    return plain


def _plain_source(source: Source, length: int | None, *, identity: bool) -> dict[str, object]:
    plain: dict[str, object] = {"model": plain_model(source.model, source.adapter)}
    if source.layer is not None and length is not None:
        plain["layer_range"] = [source.layer, source.layer + length]
        if source.adapter_layer is not None and source.adapter_layer != source.layer:
            plain["adapter_range"] = [source.adapter_layer, source.adapter_layer + length]
    if identity:
        plain["identity"] = True
    settings = {"scale": _plain_rules(source.scale), "weight": _plain_rules(source.weight)}
    parameters = {name: rules for name, rules in settings.items() if rules is not None}
    if parameters:
        plain["parameters"] = parameters
    return plain


def _plain_rules(rules: tuple[Rule, ...]) -> object:
    """Return a number for everything, or a list of conditions, or `None` for no rules."""
    if not rules:
        return None
    if len(rules) == 1 and rules[0].filter is None:
        return rules[0].value
    return [
        {"value": rule.value} if rule.filter is None else {"filter": rule.filter, "value": rule.value}
        for rule in rules
    ]


def _plain_dtype(key: str, dtype: DType | None) -> dict[str, object]:
    return {} if dtype is None else {key: dtype.torch_name}
