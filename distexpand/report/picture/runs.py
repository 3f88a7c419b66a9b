"""Layer runs: consecutive output layers that go through one source in step.

The form between the plan's list of layers and anything drawn from it. A run
keeps its layers' origins rather than a digest of them, so nothing is lost:
the runs put end to end are the list again. Whether a layer repeats an earlier
one does not end a run: a slice that overlaps the one before it, as in depth
up-scaling, stays the one slice that its author wrote.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from distexpand.planning.model import LayerOrigin

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRun:
    """Output layers from `start` on, made of successive source layers, or of one again and again.

    `origins` is never empty, all of one model, all identity blocks or none.
    """

    start: int
    origins: tuple[LayerOrigin, ...]

    @property
    def stop(self) -> int:
        """The output layer after the last of the run."""
        return self.start + len(self.origins)

    @property
    def model(self) -> str:
        """The source model (the one with most weight, in a blend)."""
        return self.origins[0].model

    @property
    def first(self) -> int:
        """The first source layer."""
        return self.origins[0].layer

    @property
    def last(self) -> int:
        """The last source layer; equal to `first` where one layer is repeated."""
        return self.origins[-1].layer

    @property
    def identity(self) -> bool:
        """Whether these are identity blocks."""
        return self.origins[0].identity

    @property
    def repeats(self) -> int:
        """How many of the layers repeat a source layer used before, identity blocks not counted."""
        return sum(is_repeat(origin) for origin in self.origins)

    @property
    def transforms(self) -> tuple[str, ...]:
        """What was done to the tensors; first and last where it varies along the run."""
        columns = zip(*(origin.transforms for origin in self.origins), strict=True)
        return tuple(_along(column) for column in columns)

    @property
    def others(self) -> tuple[tuple[str, int, int], ...]:
        """The other sources of a blend: model, first source layer, last source layer."""
        first = [split_other(other) for other in self.origins[0].others]
        last = [split_other(other) for other in self.origins[-1].others]
        return tuple((model, start, stop) for (model, start), (_, stop) in zip(first, last, strict=True))

    @property
    def kinds(self) -> tuple[tuple[str, int], ...]:
        """The layer types in the run, each with its number of layers, in order of first use."""
        kinds = [origin.kind for origin in self.origins]
        return tuple((kind, kinds.count(kind)) for kind in dict.fromkeys(kinds) if kind)


def is_repeat(origin: LayerOrigin) -> bool:
    """Whether the layer repeats a source layer used before and does something (is no identity block)."""
    return origin.copy > 0 and not origin.identity


def layer_runs(layers: tuple[LayerOrigin, ...]) -> tuple[LayerRun, ...]:
    """Group layers into runs whose layers were all transformed in the same way."""
    return _grouped(layers, lambda one, other: one.transforms == other.transforms)


def coarse_runs(layers: tuple[LayerOrigin, ...]) -> tuple[LayerRun, ...]:
    """Group layers into runs whose transforms may differ in their numbers (a gradient over layers)."""
    return _grouped(layers, lambda one, other: _shape(one.transforms) == _shape(other.transforms))


def model_names(layers: tuple[LayerOrigin, ...]) -> tuple[str, ...]:
    """Return the models that the layers come from, in order of first use; those only blended in come last."""
    blended = [split_other(other)[0] for origin in layers for other in origin.others]
    return tuple(dict.fromkeys([*(origin.model for origin in layers), *blended]))


def split_other(other: str) -> tuple[str, int]:
    """Return model and layer of one further source of a blend, written `model:layer`."""
    model, _, layer = other.rpartition(":")
    return model, int(layer)


def ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Return increasing numbers as first and last of each stretch without a gap."""
    stretches: list[tuple[int, int]] = []
    for number in numbers:
        if stretches and stretches[-1][1] == number - 1:
            stretches[-1] = (stretches[-1][0], number)
        else:
            stretches.append((number, number))
    return stretches


def _grouped(
    layers: tuple[LayerOrigin, ...], alike: Callable[[LayerOrigin, LayerOrigin], bool]
) -> tuple[LayerRun, ...]:
    runs: list[LayerRun] = []
    pending: list[LayerOrigin] = []
    for number, origin in enumerate(layers):
        if pending and not (_in_step(pending, origin) and alike(pending[-1], origin)):
            runs.append(LayerRun(start=number - len(pending), origins=tuple(pending)))
            pending = []
        pending.append(origin)
    if pending:
        runs.append(LayerRun(start=len(layers) - len(pending), origins=tuple(pending)))
    return tuple(runs)


def _in_step(run: list[LayerOrigin], origin: LayerOrigin) -> bool:
    """Whether the layer carries on the run: same model, every source one layer on (or none)."""
    last = run[-1]
    step = origin.layer - last.layer
    if (origin.model, origin.identity) != (last.model, last.identity) or step not in {0, 1}:
        return False
    if len(run) > 1 and step != run[1].layer - run[0].layer:
        return False
    expected = [(model, layer + step) for model, layer in map(split_other, last.others)]
    return expected == [split_other(other) for other in origin.others]


def _along(values: tuple[str, ...]) -> str:
    return values[0] if len(set(values)) == 1 else f"{values[0]} ... {values[-1]} (varies by layer)"


def _shape(transforms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_NUMBER.sub("#", transform) for transform in transforms)
