"""The layer map as data: what the picture, the page and the notebook show of a plan.

Everything is counted and looked up here, once, from the plan alone, so that what
draws it only places and words it. Models are numbers in order of first use and
layers keep theirs; rejected: handing `Plan` to what draws, where each picture
would parse the shards' headers again for sizes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distexpand.planning.model import LayerOrigin, Plan
from distexpand.report.layer_map.tensors import OutsideTensor, PlanTensors, plan_tensors
from distexpand.report.picture.runs import LayerRun, coarse_runs, is_repeat, model_names, ranges, split_other
from distexpand.report.picture.strip import letter


@dataclass(frozen=True, slots=True, kw_only=True)
class MapModel:
    """A source model: its letter, and one more than the highest layer that is used of it."""

    name: str
    letter: str
    depth: int
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayer:
    """An output layer with its bytes and the numbers of the shards that it lies in.

    `sources` are model and layer of everything that it is made of, the main source first.
    `kind` is its type in words, where types are told apart: by the config, or by some layers
    having experts and others none.
    """

    number: int
    origin: LayerOrigin
    sources: tuple[tuple[int, int], ...]
    kind: str
    size: int
    shards: tuple[int, ...]

    @property
    def model(self) -> int:
        """The main source's model."""
        return self.sources[0][0]

    @property
    def repeated(self) -> bool:
        """Whether it repeats a source layer used before, and isn't an identity block."""
        return is_repeat(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapShard:
    """A shard, and which layers at least a part of lies in it, as first and last of each stretch."""

    name: str
    size: int
    tensors: int
    layers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMap:
    """All that is shown of a plan's layers.

    `notes` numbers the distinct transforms of the runs, from 1. `kinds` are the layer types,
    most frequent first, none where there is only one. `before` and `after` are the tensors
    outside the stack.
    """

    title: str
    models: tuple[MapModel, ...]
    layers: tuple[MapLayer, ...]
    runs: tuple[LayerRun, ...]
    notes: Mapping[tuple[str, ...], int]
    kinds: tuple[str, ...]
    before: tuple[OutsideTensor, ...]
    after: tuple[OutsideTensor, ...]
    shards: tuple[MapShard, ...]

    def model_number(self, name: str) -> int | None:
        """Return the number of a model, if any layer comes from it."""
        return next((number for number, model in enumerate(self.models) if model.name == name), None)


def layer_map(plan: Plan, *, title: str) -> LayerMap:
    """Return the map of a plan that has layers or none."""
    names = model_names(plan.layers)
    tensors = plan_tensors(plan)
    layers = tuple(_layer(number, origin, names, tensors) for number, origin in enumerate(plan.layers))
    runs = coarse_runs(plan.layers)
    transforms = dict.fromkeys(run.transforms for run in runs if run.transforms)
    return LayerMap(
        title=title,
        models=tuple(_model(number, name, layers) for number, name in enumerate(names)),
        layers=layers,
        runs=runs,
        notes={words: number for number, words in enumerate(transforms, start=1)},
        kinds=_kinds(layers),
        before=tensors.before,
        after=tensors.after,
        shards=_shards(plan, tensors),
    )


def _shards(plan: Plan, tensors: PlanTensors) -> tuple[MapShard, ...]:
    inside: dict[int, list[int]] = defaultdict(list)
    for layer in sorted(tensors.shards):
        for number in tensors.shards[layer]:
            inside[number].append(layer)
    return tuple(
        MapShard(
            name=shard.name,
            size=shard.size,
            tensors=tensors.counts[number],
            layers=tuple(ranges(inside[number])),
        )
        for number, shard in enumerate(plan.shards)
    )


def _layer(number: int, origin: LayerOrigin, names: Sequence[str], tensors: PlanTensors) -> MapLayer:
    sources = [(origin.model, origin.layer), *map(split_other, origin.others)]
    return MapLayer(
        number=number,
        origin=origin,
        sources=tuple((names.index(model), layer) for model, layer in sources),
        kind=_kind(number, origin, tensors),
        size=tensors.sizes.get(number, 0),
        shards=tuple(sorted(tensors.shards.get(number, ()))),
    )


def _model(number: int, name: str, layers: Sequence[MapLayer]) -> MapModel:
    used = [layer for one in layers for model, layer in one.sources if model == number]
    return MapModel(
        name=name,
        letter=letter(number),
        depth=1 + max(used),
        layers=sum(layer.model == number for layer in layers),
    )


def _kind(number: int, origin: LayerOrigin, tensors: PlanTensors) -> str:
    words = [origin.kind.replace("_", " ")]
    if 0 < len(tensors.experts) < len(tensors.sizes):
        words.append("experts" if number in tensors.experts else "dense")
    return ", ".join(filter(None, words))


def _kinds(layers: Sequence[MapLayer]) -> tuple[str, ...]:
    counts = Counter(layer.kind for layer in layers)
    return tuple(kind for kind, _ in counts.most_common()) if len(counts) > 1 else ()
