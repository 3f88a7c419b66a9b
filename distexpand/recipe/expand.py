"""Shorthands to slices, now that the model's layer count is known."""

from collections.abc import Iterable

from distexpand.errors import RecipeError
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.draft import (
    DepthUpScaling,
    DraftSlice,
    DraftSource,
    PlacedBlocks,
    RepeatedRange,
    Shorthand,
    SpreadBlocks,
)
from distexpand.recipe.located import Located


def expand_shorthand(
    layers: Shorthand,
    *,
    model: ModelRef,
    num_layers: int,
    origin: str,
    adapter: ModelRef | None = None,
) -> tuple[DraftSlice, ...]:
    """Return the slices that a shorthand stands for, for a model of `num_layers` layers."""
    match layers:
        case SpreadBlocks(where="end"):
            copies = [(num_layers - 1, num_layers, True)] * layers.blocks
            runs = [(0, num_layers, False), *copies]
        case SpreadBlocks():
            runs = _with_copies_after(_evenly(layers, model, num_layers, origin), num_layers)
        case PlacedBlocks():
            _check_places(layers, model, num_layers, origin)
            runs = _with_copies_after(layers.after, num_layers)
        case DepthUpScaling():
            _check_cut(layers, model, num_layers, origin)
            runs = [(0, num_layers - layers.cut, False), (layers.cut, num_layers, False)]
        case RepeatedRange():
            runs = _repeated(layers, num_layers)
    return tuple(_slice(layers.path, model, adapter, run) for run in runs)


def _slice(path: str, model: ModelRef, adapter: ModelRef | None, run: tuple[int, int, bool]) -> DraftSlice:
    start, end, identity = run
    source = DraftSource(path=path, model=model, adapter=adapter, layer_range=(start, end), identity=identity)
    return DraftSlice(path=path, sources=(source,))


def _with_copies_after(places: Iterable[int], num_layers: int) -> list[tuple[int, int, bool]]:
    """Return all layers in order, with an identity copy right after each of `places` (ascending)."""
    runs: list[tuple[int, int, bool]] = []
    start = 0
    for layer in places:
        runs += [(start, layer + 1, False), (layer, layer + 1, True)]
        start = layer + 1
    return [*runs, (start, num_layers, False)] if start < num_layers else runs


def _evenly(layers: SpreadBlocks, model: ModelRef, num_layers: int, origin: str) -> list[int]:
    if layers.blocks > num_layers:
        raise _error(
            layers.path,
            origin,
            f"found {layers.blocks} blocks; expected at most the {num_layers} layers of {model}",
        )
    return [k * num_layers // layers.blocks - 1 for k in range(1, layers.blocks + 1)]


def _check_places(layers: PlacedBlocks, model: ModelRef, num_layers: int, origin: str) -> None:
    beyond = [layer for layer in layers.after if layer >= num_layers]
    if beyond:
        expected = f"at most {num_layers - 1}, since {model} has {num_layers} layers"
        raise _error(layers.path, origin, f"found layer {beyond[0]}; expected {expected}")


def _check_cut(layers: DepthUpScaling, model: ModelRef, num_layers: int, origin: str) -> None:
    if layers.cut >= num_layers:
        expected = f"less than the {num_layers} layers of {model}"
        raise _error(layers.path, origin, f"found {layers.cut}; expected {expected}")


def _repeated(layers: RepeatedRange, num_layers: int) -> list[tuple[int, int, bool]]:
    """Return the runs; the range's bounds are checked with those of all slices."""
    start, end = layers.layer_range
    if not 0 <= start < end <= num_layers:
        return [(start, end, False)]
    if layers.times == 1:
        return [(0, num_layers, False)]
    between = [(start, end, False)] * (layers.times - 2)
    return [(0, end, False), *between, (start, num_layers, False)]


def _error(path: str, origin: str, message: str) -> RecipeError:
    return Located(value=None, path=path, origin=origin).error(message)
