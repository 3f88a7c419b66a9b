"""The short dialects: one model and one statement about its layers.

`block_expansion`, `depth_up_scaling`, `repeat` and `layer_map` each say in a line what
would be many slices. What they mean in layers is known once the model's layer count
is; see `expand`.
"""

from typing import Literal

from distexpand.recipe.canonical import MergeMethod, ModelRef
from distexpand.recipe.document import Document
from distexpand.recipe.draft import (
    DepthUpScaling,
    Draft,
    DraftSlice,
    DraftSource,
    PlacedBlocks,
    RepeatedRange,
    Shorthand,
    Slices,
    SpreadBlocks,
)
from distexpand.recipe.dtype_option import parse_dtype
from distexpand.recipe.located import Located, describe, fields, integer, items, layer_range, required
from distexpand.recipe.model_reference import Adapted, parse_adapted
from distexpand.recipe.settings import parse_rules
from distexpand.recipe.stack_option import parse_stack

FORMS = ("block_expansion", "depth_up_scaling", "repeat", "layer_map")
KEYS = ("model", *FORMS, "attenuate_duplicates", "dtype", "out_dtype", "stack")
_REFUSED_KEYS = {
    "merge_method": "a shorthand always copies, as passthrough does",
    "parameters": "for scales write the slices out; `distexpand plan --canonical` does it for you",
    "base_model": "a shorthand has one model, named by `model`",
    "tokenizer_source": "a shorthand has one model, whose tokenizer is carried over",
}
NO_MODEL_HINT = "Name the model with --model PATH."


def parse_shorthand(document: Document, *, origin: str, default_model: ModelRef | None) -> Draft:
    """Read a document of this dialect."""
    root = Located(value=document.data, path="", origin=origin)
    found = fields(root, KEYS, refused=_REFUSED_KEYS, ignored=document.definitions - _REFUSED_KEYS.keys())
    forms = [form for form in FORMS if form in found]
    if len(forms) != 1:
        raise root.error(f"found {' and '.join(forms) or 'none'} of {', '.join(FORMS)}; expected exactly one")
    model = _model(root, found, default_model)
    attenuation = found.get("attenuate_duplicates")
    return Draft(
        origin=origin,
        method=MergeMethod.PASSTHROUGH,
        layers=_layers(forms[0], found[forms[0]], model),
        base_model=model.model,
        tokenizer=model.model,
        base_adapter=model.adapter,
        dtype=parse_dtype(found, "dtype"),
        out_dtype=parse_dtype(found, "out_dtype"),
        attenuation=parse_rules(attenuation) if attenuation else (),
        stack=parse_stack(found),
    )


def _model(root: Located, found: dict[str, Located], default_model: ModelRef | None) -> Adapted:
    if "model" in found:
        named = parse_adapted(found["model"])
        if default_model and named.model != default_model:
            raise found["model"].error(
                f"the recipe names its model, {named.model}, "
                f"so {default_model} can't be given without a name",
                hint=f"Say where it lies with --model {named.model}=PATH.",
            )
        return named
    if default_model is None:
        raise root.error("the recipe names no model", hint=NO_MODEL_HINT)
    return Adapted(model=default_model)


def _layers(form: str, place: Located, model: Adapted) -> Slices | Shorthand:
    match form:
        case "block_expansion":
            return _block_expansion(place)
        case "depth_up_scaling":
            found = fields(place, ("cut",))
            cut = required(place, found, "cut", "the number of layers removed at the joint")
            return DepthUpScaling(path=cut.path, cut=integer(cut, "a whole number, 0 or more", minimum=0))
        case "repeat":
            return _repeat(place)
        case _:
            return layer_map(place, model.model, model.adapter)


def _block_expansion(place: Located) -> Shorthand:
    found = fields(place, ("blocks", "where", "after"))
    after = found.get("after")
    if after:
        if len(found) > 1:
            raise place.error("`after` says how many blocks and where; it can't be combined with the others")
        return PlacedBlocks(path=after.path, after=_after(after))
    blocks = required(place, found, "blocks", "the number of blocks to add, or `after` with their places")
    count = integer(blocks, "a whole number of at least 1", minimum=1)
    return SpreadBlocks(path=blocks.path, blocks=count, where=_where(found.get("where")))


def _where(place: Located | None) -> Literal["interleaved", "end"]:
    if place is None or place.value == "interleaved":
        return "interleaved"
    if place.value == "end":
        return "end"
    raise place.error(f"found {describe(place.value)}; expected interleaved or end")


def _after(place: Located) -> tuple[int, ...]:
    layers = [integer(item, "a layer's index", minimum=0) for item in items(place, "a list of layers")]
    if len(set(layers)) != len(layers):
        twice = sorted({layer for layer in layers if layers.count(layer) > 1})
        raise place.error(f"found layer {twice[0]} twice; expected each layer once")
    return tuple(sorted(layers))


def _repeat(place: Located) -> RepeatedRange:
    found = fields(place, ("layer_range", "times"))
    span = required(place, found, "layer_range", "[start, end], the end exclusive")
    times = required(place, found, "times", "how often the layers occur in all")
    return RepeatedRange(
        path=span.path,
        layer_range=layer_range(span),
        times=integer(times, "a whole number of at least 1", minimum=1),
    )


def layer_map(place: Located, model: ModelRef, adapter: ModelRef | None = None) -> Slices:
    """Read a list of layer ranges, as in a layer map and in PEFT's `layer_replication`."""
    spans = items(place, "a list of [start, end], each end exclusive")
    sources = (
        DraftSource(path=span.path, model=model, adapter=adapter, layer_range=layer_range(span))
        for span in spans
    )
    return Slices(slices=tuple(DraftSlice(path=source.path, sources=(source,)) for source in sources))
