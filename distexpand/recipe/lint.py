"""What a recipe does that its author may not have meant.

All of it is allowed and some of it published; each finding is a warning, or an error
with `--strict`. Judged from the canonical form and the layer counts alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise

from distexpand.findings import Finding
from distexpand.recipe.canonical import ModelRef, Part, Recipe, Source
from distexpand.recipe.residual_hints import EMBEDDINGS, HEAD, factor, silenced


def lint_recipe(recipe: Recipe, num_layers: Mapping[ModelRef, int]) -> tuple[Finding, ...]:
    """Return what is worth a warning, in a fixed order.

    Args:
        recipe: the canonical recipe.
        num_layers: the number of layers of each model that layers come from.
    """
    return (
        *_dropped_layers(recipe, num_layers),
        *_out_of_order(recipe, num_layers),
        *_lonely_identity(recipe),
        *_half_identity(recipe),
        *_scaled_outside(recipe),
    )


def layer_list(layers: Iterable[int]) -> str:
    """Name layers compactly: `layer 3`, `layers 20-29, 31`."""
    ordered = sorted(set(layers))
    runs = [
        [layer for _, layer in run] for _, run in groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])
    ]
    shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"layer {shown}" if len(ordered) == 1 else f"layers {shown}"


def _live(part: Part) -> tuple[Source, ...]:
    """Return the sources that contribute: all but those whose every weight is 0."""
    return tuple(
        source for source in part.sources if not source.weight or any(rule.value for rule in source.weight)
    )


def _dropped_layers(recipe: Recipe, num_layers: Mapping[ModelRef, int]) -> Iterator[Finding]:
    """Models of equal depth are taken as variants of one, which may stand in for each other."""
    used: dict[int, dict[ModelRef, set[int]]] = {}
    for part in recipe.layers:
        for source in _live(part):
            if source.layer is not None:
                used.setdefault(num_layers[source.model], {}).setdefault(source.model, set()).add(
                    source.layer
                )
    for count, models in used.items():
        dropped = set(range(count)).difference(*models.values())
        if dropped:
            names = ", ".join(str(model) for model in models)
            yield Finding(
                code="dropped-layers",
                message=f"{layer_list(dropped)} of {names} ({count} layers) occur nowhere in the output",
                advice="Extend a layer range if this isn't meant; ranges exclude their end.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Output layers from `position` on that come from consecutive layers of one model."""

    position: int
    model: ModelRef
    start: int


def _runs(recipe: Recipe) -> Iterator[_Run]:
    previous: tuple[ModelRef, int] | None = None
    for position, part in enumerate(recipe.layers):
        source = next(iter(_live(part)), part.sources[0])
        if source.layer is None:
            continue
        if previous != (source.model, source.layer - 1):
            yield _Run(position=position, model=source.model, start=source.layer)
        previous = (source.model, source.layer)


def _out_of_order(recipe: Recipe, num_layers: Mapping[ModelRef, int]) -> Iterator[Finding]:
    by_depth: dict[int, list[_Run]] = {}
    for run in _runs(recipe):
        by_depth.setdefault(num_layers[run.model], []).append(run)
    for runs in by_depth.values():
        for before, run in pairwise(runs):
            if run.start < before.start:
                yield Finding(
                    code="out-of-order",
                    message=(
                        f"output layer {run.position} goes back to layer {run.start} of {run.model}, "
                        f"before layer {before.start} of {before.model}, where the previous slice starts"
                    ),
                    advice="Slices of stacked models usually start further and further up.",
                )


def _is_identity(part: Part) -> bool:
    return part.identity or (len(part.sources) == 1 and silenced(part.sources[0])[1])


def _lonely_identity(recipe: Recipe) -> Iterator[Finding]:
    """An identity block is trained from its original's weights, so it should stand next to it."""
    places: list[int] = []
    originals: dict[ModelRef, list[int]] = {}
    for _, group in groupby(enumerate(recipe.layers), lambda pair: _made_of(pair[1])):
        members = list(group)
        if all(_is_identity(part) for _, part in members):
            places += [place for place, _ in members]
            source = members[0][1].sources[0]
            originals.setdefault(source.model, []).append(source.layer or 0)
    if places:
        copied = "; ".join(f"{layer_list(layers)} of {model}" for model, layers in originals.items())
        yield Finding(
            code="lonely-identity",
            message=f"identity copies that don't stand next to what they copy: output {layer_list(places)} "
            f"({copied})",
            advice="An identity block usually stands right after the layer that it copies.",
        )


def _made_of(part: Part) -> list[tuple[ModelRef, int | None]]:
    return [(source.model, source.layer) for source in part.sources]


def _half_identity(recipe: Recipe) -> Iterator[Finding]:
    halves = [
        position
        for position, part in enumerate(recipe.layers)
        if not part.identity and any(_is_half(source) for source in part.sources)
    ]
    if halves:
        yield Finding(
            code="half-identity",
            message=f"output {layer_list(halves)}: one residual output is scaled to 0 and the other is not",
            advice="For an identity block zero both (say o_proj, down_proj), or use `identity: true`.",
        )


def _is_half(source: Source) -> bool:
    some, every = silenced(source)
    return some and not every


def _scaled_outside(recipe: Recipe) -> Iterator[Finding]:
    for name, part, tensors in (
        ("embeddings", recipe.embeddings, EMBEDDINGS),
        ("final norm and output head", recipe.head, HEAD),
    ):
        factors = {factor(source.scale, tensor) for source in part.sources for tensor in tensors} - {1.0}
        if factors:
            shown = ", ".join(f"{value:g}" for value in sorted(factors))
            yield Finding(
                code="scaled-outside",
                message=f"scale rules reach the {name}: multiplied by {shown}",
                advice="Give the rules a filter, or put {filter: ..., value: 1.0} for these tensors first.",
            )
