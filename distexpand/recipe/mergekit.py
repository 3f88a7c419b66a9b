"""The mergekit dialect: `slices`, `models` or `modules`, with parameters on three levels.

What a published config says means the same here; what isn't supported is refused by
name. Additions to the form: `repeat` on a slice, `identity` and `adapter_range` on a
source (the adapter's layers, where their numbers aren't the model's), and at the
top `attenuate_duplicates`, `embeddings` and `head` (the last two replace what follows
from the first and the last slice), and `stack` (whose layers the slices are). A module's
name is that of a stack, too; the first module is the one that embeddings and head follow.

Two differences, neither of which changes a config that works there: the same model may
occur twice in one slice (sources are told apart by position), and without `base_model`
it is the first source of the first slice (there, any of the models).
"""

from dataclasses import dataclass

from distexpand.recipe.canonical import MergeMethod
from distexpand.recipe.document import Document
from distexpand.recipe.draft import Draft, DraftModule, DraftSlice, DraftSource, Gradient, Slices
from distexpand.recipe.dtype_option import parse_dtype
from distexpand.recipe.located import (
    Located,
    boolean,
    child,
    describe,
    fields,
    integer,
    items,
    layer_range,
    required,
)
from distexpand.recipe.model_reference import Adapted, parse_adapted, parse_tokenizer_source
from distexpand.recipe.settings import parse_rules, parse_setting
from distexpand.recipe.stack_option import parse_stack, stack_name

KEYS = (
    "slices",
    "models",
    "modules",
    "merge_method",
    "parameters",
    "dtype",
    "out_dtype",
    "base_model",
    "tokenizer_source",
    "attenuate_duplicates",
    "embeddings",
    "head",
    "stack",
)
_SHORTHAND = "it is a shorthand of its own, which can't be combined with slices"
_REFUSED_KEYS = {
    "tokenizer": "it changes the vocabulary; `tokenizer_source: base` or a model can be given",
    "chat_template": "the tokenizer's own template is carried over",
    "name": "the output is named on the command line",
    "block_expansion": _SHORTHAND,
    "depth_up_scaling": _SHORTHAND,
    "repeat": f"{_SHORTHAND}; a slice has its own `repeat`",
    "layer_map": _SHORTHAND,
    "model": "with slices, every source names its model",
    "residual_weight": "it belongs to other merge methods",
    "int8_mask": "it belongs to other merge methods",
}
# Names that mean something, so that they can't serve as mere holders of anchors.
_NO_DEFINITION = frozenset(
    {"tokenizer", "chat_template", "block_expansion", "depth_up_scaling", "repeat", "layer_map"}
)
_REFUSED_IN_SLICE = {
    "base_model": "it has no meaning for passthrough and linear; the whole recipe has one `base_model`",
    "residual_weight": "it belongs to other merge methods",
}
_SOURCE_PARAMETERS = {MergeMethod.PASSTHROUGH: ("scale",), MergeMethod.LINEAR: ("weight",)}
_OUTER_PARAMETERS = {MergeMethod.PASSTHROUGH: ("scale",), MergeMethod.LINEAR: ("weight", "normalize")}
_NOT_A_PARAMETER = {
    "scale": "it belongs to merge_method passthrough",
    "weight": "it belongs to merge_method linear",
    "normalize": "it belongs to merge_method linear, for a slice or the whole recipe",
    "int8_mask": "it belongs to other merge methods",
    "density": "it belongs to other merge methods",
    "t": "it belongs to other merge methods",
}
_MAX_SOURCES = 64
_SOURCES = "a list of sources"
_MODEL = "a model as `name`, `name@revision` or a local path"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Parameters of one level, or of several with the innermost first."""

    scale: tuple[Gradient, ...] = ()
    weight: tuple[Gradient, ...] = ()
    normalize: bool | None = None

    def within(self, outer: "_Level") -> "_Level":
        normalize = outer.normalize if self.normalize is None else self.normalize
        return _Level(scale=self.scale + outer.scale, weight=self.weight + outer.weight, normalize=normalize)


def parse_mergekit(document: Document, *, origin: str) -> Draft:
    """Read a document of this dialect."""
    root = Located(value=document.data, path="", origin=origin)
    found = fields(root, KEYS, refused=_REFUSED_KEYS, ignored=document.definitions - _NO_DEFINITION)
    method = _method(required(root, found, "merge_method", "passthrough or linear"))
    outer = _parameters(found, _OUTER_PARAMETERS[method])
    named_base = parse_adapted(found["base_model"]) if "base_model" in found else None
    modules = _modules(root, found, method, outer)
    slices = modules[0].slices if modules else _slices(root, found, method, outer, named_base)
    base = named_base.model if named_base else slices[0].sources[0].model
    tokenizer = found.get("tokenizer_source")
    attenuation = found.get("attenuate_duplicates")
    if attenuation and method is not MergeMethod.PASSTHROUGH:
        raise attenuation.error("it scales tensors, which is for merge_method passthrough")
    return Draft(
        origin=origin,
        method=method,
        layers=Slices(slices=slices),
        base_model=base,
        tokenizer=parse_tokenizer_source(tokenizer, base) if tokenizer else base,
        dtype=parse_dtype(found, "dtype"),
        out_dtype=parse_dtype(found, "out_dtype"),
        attenuation=parse_rules(attenuation) if attenuation else (),
        embeddings=_outside(found["embeddings"], method, outer) if "embeddings" in found else None,
        head=_outside(found["head"], method, outer) if "head" in found else None,
        stack=modules[0].stack if modules else parse_stack(found),
        modules=modules[1:],
    )


def _method(place: Located) -> MergeMethod:
    names = [method.value for method in MergeMethod]
    if place.value not in names:
        raise place.error(
            f"merge method {describe(place.value)} is not supported; expected {' or '.join(names)}"
        )
    return MergeMethod(place.value)


def _slices(
    root: Located,
    found: dict[str, Located],
    method: MergeMethod,
    outer: _Level,
    base: Adapted | None,
) -> tuple[DraftSlice, ...]:
    forms = [key for key in ("slices", "models", "modules") if key in found and found[key].value != []]
    if len(forms) != 1:
        raise root.error(
            f"found {' and '.join(forms) or 'none'} of slices, models, modules; expected exactly one"
        )
    place = found[forms[0]]
    if forms[0] == "models":
        return (_whole_models(place, method, outer, base),)
    return tuple(_slice(item, method, outer) for item in items(place, "a list of slices"))


def _modules(
    root: Located, found: dict[str, Located], method: MergeMethod, outer: _Level
) -> tuple[DraftModule, ...]:
    """Read `modules`, the first of them the one that the rest of the recipe follows."""
    place = found.get("modules")
    others = [key for key in ("slices", "models", "stack") if key in found]
    if place is None or place.value == []:
        return ()
    if others:
        raise root.error(f"found modules and {' and '.join(others)}; expected one of them")
    if not isinstance(place.value, dict) or not place.value:
        raise place.wrong("a mapping from names of stacks, each of which holds `slices`")
    modules = tuple(
        _module(child(place, name, value), name, method, outer) for name, value in place.value.items()
    )
    names = [module.stack for module in modules]
    if len(set(names)) != len(names):
        raise place.error("two modules name the usual stack; expected each stack once")
    return modules


def _module(place: Located, name: str, method: MergeMethod, outer: _Level) -> DraftModule:
    reason = "a module holds slices only; put the rest at the top level of the recipe"
    found = fields(place, ("slices",), refused={"models": reason, "parameters": reason})
    slices = items(required(place, found, "slices", "a list of slices"), "a list of slices")
    return DraftModule(
        path=place.path,
        stack=stack_name(name),
        slices=tuple(_slice(item, method, outer) for item in slices),
    )


def _slice(place: Located, method: MergeMethod, outer: _Level) -> DraftSlice:
    found = fields(place, ("sources", "parameters", "repeat"), refused=_REFUSED_IN_SLICE)
    level = _parameters(found, _OUTER_PARAMETERS[method]).within(outer)
    sources = items(required(place, found, "sources", _SOURCES), _SOURCES, most=_MAX_SOURCES)
    repeat = found.get("repeat")
    return DraftSlice(
        path=place.path,
        sources=_one_if_passthrough(place, method, [_source(item, method, level) for item in sources]),
        normalize=level.normalize is not False,
        repeat=integer(repeat, "a whole number of at least 1", minimum=1) if repeat else 1,
    )


def _source(place: Located, method: MergeMethod, outer: _Level) -> DraftSource:
    found = fields(place, ("model", "layer_range", "adapter_range", "parameters", "identity"))
    level = _parameters(found, _SOURCE_PARAMETERS[method]).within(outer)
    span = required(place, found, "layer_range", "[start, end], the end exclusive")
    identity = "identity" in found and boolean(found["identity"])
    if identity and method is not MergeMethod.PASSTHROUGH:
        raise found["identity"].error("identity blocks are for merge_method passthrough")
    named = parse_adapted(required(place, found, "model", _MODEL))
    return DraftSource(
        path=span.path,
        model=named.model,
        adapter=named.adapter,
        adapter_range=_adapter_range(found, named),
        layer_range=layer_range(span),
        identity=identity,
        scale=level.scale,
        weight=_complete(place, method, level),
    )


def _adapter_range(found: dict[str, Located], named: Adapted) -> tuple[int, int] | None:
    place = found.get("adapter_range")
    if place is None:
        return None
    if named.adapter is None:
        raise place.error(f"{named.model} is named without an adapter; expected `model+adapter`")
    return layer_range(place)


def _whole_source(place: Located, method: MergeMethod, outer: _Level) -> DraftSource:
    """Read a source without a layer range: a whole model, or what stands outside the layers."""
    found = fields(place, ("model", "parameters"))
    level = _parameters(found, _SOURCE_PARAMETERS[method]).within(outer)
    named = parse_adapted(required(place, found, "model", _MODEL))
    return _all_of(place, named, level, _complete(place, method, level))


def _all_of(place: Located, named: Adapted, level: _Level, weight: tuple[Gradient, ...]) -> DraftSource:
    return DraftSource(
        path=place.path, model=named.model, adapter=named.adapter, scale=level.scale, weight=weight
    )


def _whole_models(place: Located, method: MergeMethod, outer: _Level, base: Adapted | None) -> DraftSlice:
    """Read the `models` form: one slice over all layers; a base model not listed joins it."""
    sources = [_whole_source(item, method, outer) for item in items(place, "a list of models")]
    if base and (base.model, base.adapter) not in [(source.model, source.adapter) for source in sources]:
        joined = child(place, "base_model", None)
        sources.append(_all_of(joined, base, outer, _complete(joined, method, outer)))
    return DraftSlice(
        path=place.path,
        sources=_one_if_passthrough(place, method, sources),
        normalize=outer.normalize is not False,
    )


def _outside(place: Located, method: MergeMethod, outer: _Level) -> DraftSlice:
    """Read `embeddings` or `head`: like a slice, with sources that have no layers."""
    found = fields(place, ("sources", "parameters"))
    level = _parameters(found, _OUTER_PARAMETERS[method]).within(outer)
    sources = items(required(place, found, "sources", _SOURCES), _SOURCES, most=_MAX_SOURCES)
    return DraftSlice(
        path=place.path,
        sources=_one_if_passthrough(place, method, [_whole_source(item, method, level) for item in sources]),
        normalize=level.normalize is not False,
    )


def _one_if_passthrough(
    place: Located, method: MergeMethod, sources: list[DraftSource]
) -> tuple[DraftSource, ...]:
    if method is MergeMethod.PASSTHROUGH and len(sources) != 1:
        named = ", ".join(str(source.model) for source in sources[:4])
        raise place.error(
            f"found {len(sources)} sources ({named}); passthrough takes exactly one",
            hint="Use merge_method linear for a weighted sum of several models.",
        )
    return tuple(sources)


def _complete(place: Located, method: MergeMethod, level: _Level) -> tuple[Gradient, ...]:
    """Check that linear has a weight for every tensor, whatever its name."""
    if method is MergeMethod.LINEAR and not any(part.filter is None for part in level.weight):
        found = "only weights with a filter" if level.weight else "no weight"
        raise place.error(
            f"found {found}; merge_method linear needs a weight for every tensor of a source",
            hint="Give `weight` in the source's, the slice's or the recipe's `parameters`.",
        )
    return level.weight


def _parameters(found: dict[str, Located], supported: tuple[str, ...]) -> _Level:
    place = found.get("parameters")
    if place is None:
        return _Level()
    refused = {key: why for key, why in _NOT_A_PARAMETER.items() if key not in supported}
    given = fields(place, supported, refused=refused)
    scale = parse_setting(given["scale"]) if "scale" in given else ()
    weight = parse_setting(given["weight"]) if "weight" in given else ()
    normalize = boolean(given["normalize"]) if "normalize" in given else None
    return _Level(scale=scale, weight=weight, normalize=normalize)
