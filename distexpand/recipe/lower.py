"""A draft and the layer counts of its models to the canonical form.

Here every index is checked against its model, gradients become numbers, repeats and
shorthands become layers, and later copies are attenuated. What comes out depends on
nothing but its arguments, and two drafts that mean the same come out equal wherever
that can be decided without tensor names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from distexpand.errors import RecipeError
from distexpand.recipe.adapter_layers import adapter_layer, check_adapter_range
from distexpand.recipe.canonical import MergeMethod, ModelRef, Module, Part, Recipe, Rule, Source
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
from distexpand.recipe.expand import expand_shorthand
from distexpand.recipe.located import Located
from distexpand.recipe.rules import (
    UndecidableProductError,
    product,
    rules_at,
    without_idle,
    without_shadowed,
)

MAX_LAYERS = 10_000


def lower(
    draft: Draft,
    num_layers: Mapping[ModelRef, int],
    module_layers: Mapping[str, Mapping[ModelRef, int]] | None = None,
) -> Recipe:
    """Lower a draft to the canonical form.

    Args:
        draft: the parsed recipe.
        num_layers: the number of layers of each of `draft.layered_models`.
        module_layers: the same for each of `draft.modules`, by the stack's name.

    Raises:
        RecipeError: if a layer range doesn't fit its model, or slices don't fit together.
    """
    slices = _slices(draft, num_layers)
    return Recipe(
        method=draft.method,
        layers=_all_layers(draft, slices, num_layers),
        embeddings=_outside(draft, draft.embeddings or slices[0]),
        head=_outside(draft, draft.head or slices[-1]),
        base_model=draft.base_model,
        tokenizer=draft.tokenizer,
        dtype=draft.dtype,
        out_dtype=draft.out_dtype,
        stack=draft.stack,
        modules=tuple(
            Module(
                stack=module.stack,
                layers=_all_layers(draft, module.slices, (module_layers or {}).get(module.stack, {})),
            )
            for module in draft.modules
        ),
    )


def _all_layers(
    draft: Draft, slices: tuple[DraftSlice, ...], num_layers: Mapping[ModelRef, int]
) -> tuple[Part, ...]:
    spans = [_spans(draft, part, num_layers) for part in slices]
    _check_size(draft, slices, spans)
    layers = [layer for part, span in zip(slices, spans, strict=True) for layer in _layers(draft, part, span)]
    return tuple(_attenuated(draft, layers))


def _slices(draft: Draft, num_layers: Mapping[ModelRef, int]) -> tuple[DraftSlice, ...]:
    layers = draft.layers
    if isinstance(layers, Slices):
        return layers.slices
    if _at_least(layers) > MAX_LAYERS:
        raise _error(draft, layers.path, f"the recipe gives more than {MAX_LAYERS:,} layers")
    count = _count(draft, draft.base_model, num_layers)
    return expand_shorthand(
        layers,
        model=draft.base_model,
        num_layers=count,
        origin=draft.origin,
        adapter=draft.base_adapter,
    )


def _at_least(layers: Shorthand) -> int:
    """Return a number of layers that the shorthand gives for any model, without expanding it."""
    match layers:
        case SpreadBlocks():
            return layers.blocks
        case RepeatedRange():
            return layers.times
        case PlacedBlocks() | DepthUpScaling():
            return 1


def _count(draft: Draft, model: ModelRef, num_layers: Mapping[ModelRef, int]) -> int:
    if model not in num_layers:
        raise RecipeError(f"{draft.origin}: the number of layers of {model} is not known")
    return num_layers[model]


def _spans(draft: Draft, part: DraftSlice, num_layers: Mapping[ModelRef, int]) -> tuple[tuple[int, int], ...]:
    """Return the layer range of each source, checked: inside its model, all of one length."""
    spans = tuple(_span(draft, source, _count(draft, source.model, num_layers)) for source in part.sources)
    lengths = {end - start for start, end in spans}
    if len(lengths) > 1:
        found = ", ".join(
            f"{end - start} of {source.model}"
            for source, (start, end) in zip(part.sources, spans, strict=True)
        )
        raise _error(
            draft, part.path, f"found sources of different lengths: {found}; expected equal numbers of layers"
        )
    return spans


def _span(draft: Draft, source: DraftSource, count: int) -> tuple[int, int]:
    if source.layer_range is None:
        return 0, count
    start, end = source.layer_range
    if 0 <= start < end <= count:
        check_adapter_range(source, end - start, origin=draft.origin)
        return start, end
    problem = "is reversed" if start > end else "is empty" if start == end else "is out of bounds"
    raise _error(
        draft,
        source.path,
        f"found [{start}, {end}], which {problem}; expected 0 <= start < end <= {count}, "
        f"since {source.model} has {count} layers",
    )


def _check_size(
    draft: Draft, slices: tuple[DraftSlice, ...], spans: list[tuple[tuple[int, int], ...]]
) -> None:
    total = 0
    for part, span in zip(slices, spans, strict=True):
        start, end = span[0]
        total += part.repeat * (end - start)
        if total > MAX_LAYERS:
            raise _error(draft, part.path, f"the recipe gives more than {MAX_LAYERS:,} layers up to here")


def _layers(draft: Draft, part: DraftSlice, spans: tuple[tuple[int, int], ...]) -> Iterator[Part]:
    """Yield the slice's output layers, all repeats one after the other."""
    start, end = spans[0]
    length = end - start
    once = []
    for index in range(length):
        position = index / (length - 1) if length > 1 else 1.0
        layers = tuple(start + index for start, _ in spans)
        once.append(_part(draft, part, position, layers, index))
    for _ in range(part.repeat):
        yield from once


def _outside(draft: Draft, part: DraftSlice) -> Part:
    """Return the embeddings or head that follow from a slice: its sources, gradients at their start."""
    return replace(_part(draft, part, 0.0, (None,) * len(part.sources)), identity=False)


def _part(
    draft: Draft, part: DraftSlice, position: float, layers: tuple[int | None, ...], index: int = 0
) -> Part:
    sources = tuple(
        Source(
            model=source.model,
            layer=layer,
            scale=without_idle(rules_at(source.scale, position)),
            weight=without_shadowed(rules_at(source.weight, position)),
            adapter=source.adapter,
            adapter_layer=adapter_layer(source, layer, index),
        )
        for source, layer in zip(part.sources, layers, strict=True)
    )
    if draft.method is MergeMethod.LINEAR and part.normalize:
        _check_divisor(draft, part, sources)
    identity = any(source.identity for source in part.sources)
    return Part(sources=sources, identity=identity, normalize=part.normalize)


def _check_divisor(draft: Draft, part: DraftSlice, sources: tuple[Source, ...]) -> None:
    """Refuse weights whose sum is 0 for every tensor, by which mergekit would divide."""
    plain = [source.weight[0].value for source in sources if len(source.weight) == 1]
    if len(plain) == len(sources) and sum(plain) == 0:
        raise _error(
            draft,
            part.path,
            "the weights of its sources add up to 0, by which the sum would be divided; "
            "expected another sum, or `normalize: false`",
        )


def _attenuated(draft: Draft, layers: list[Part]) -> Iterator[Part]:
    """Multiply the attenuation into every layer that was there before; identity blocks don't count."""
    seen: set[tuple[ModelRef, int | None]] = set()
    for part in layers:
        source = part.sources[0]
        again = (source.model, source.layer) in seen
        if not draft.attenuation or part.identity or not again:
            yield part
        else:
            scale = _product(draft, source.scale)
            yield replace(part, sources=(replace(source, scale=scale),))
        if not part.identity:
            seen.add((source.model, source.layer))


def _product(draft: Draft, scale: tuple[Rule, ...]) -> tuple[Rule, ...]:
    try:
        return product(draft.attenuation, scale)
    except UndecidableProductError as error:
        raise _error(
            draft,
            "attenuate_duplicates",
            f"it meets a layer with a scale of its own, and {error}; expected filters of which one "
            "contains the other, or the products written out as `scale`",
        ) from None


def _error(draft: Draft, path: str, message: str) -> RecipeError:
    return Located(value=None, path=path, origin=draft.origin).error(message)
