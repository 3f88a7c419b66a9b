"""What an output layer has beyond, or lacks of, the layer that it is made of, because of its place.

Most layers are the same wherever they stand. The exceptions are tensors that
belong to an end of the stack, blocks that several layers share and store once,
and layers that read what an earlier one has computed. Each either stays right
in the new order or is refused.
"""

from collections.abc import Mapping, Sequence

from distexpand.architecture.positions import Place, PlacedTensor, placed_tensors
from distexpand.errors import ArchitectureError
from distexpand.planning.shared_placement import LayerPlace, place_shared_blocks
from distexpand.planning.sources import SourceModel, primary_source
from distexpand.planning.tensors import WeightedEntry
from distexpand.recipe.canonical import ModelRef, Recipe, Source


def place_layers(recipe: Recipe, models: Mapping[ModelRef, SourceModel]) -> list[LayerPlace]:
    """Return the exceptions of every output layer.

    Raises:
        ArchitectureError: a layer can't stand where the recipe puts it; names both places and why.
    """
    sources = [primary_source(part) for part in recipe.layers]
    base = models[recipe.base_model]
    _check_unclear(sources, base)
    shared = place_shared_blocks(sources, models) if base.shared else {}
    ends = _ends(base, sources, models)
    return [
        LayerPlace(omitted=end.omitted | other.omitted, added={**end.added, **other.added})
        for end, other in ((end, shared.get(index, LayerPlace())) for index, end in enumerate(ends))
    ]


def _check_unclear(sources: Sequence[Source], base: SourceModel) -> None:
    moved = [source.layer for source in sources] != list(range(base.stack.num_layers))
    for prefix in base.stack.unclear if moved else ():
        raise ArchitectureError(
            f"{base.model}: {prefix}0 and so on are one off the number of layers ({base.stack.num_layers}), "
            "so it can't be said which layer each belongs to, and they can't follow their layers"
        )


def _ends(
    base: SourceModel, sources: Sequence[Source], models: Mapping[ModelRef, SourceModel]
) -> list[LayerPlace]:
    placed = placed_tensors(base.layers, base.stack_config)
    for tensor in placed:
        if not tensor.movable:
            for index, source in enumerate(sources):
                _check_end(tensor, index, len(sources), source, models[source.model])
    first = frozenset(t.suffix for t in placed if t.movable and t.place is Place.FIRST)
    if not first:
        return [LayerPlace()] * len(sources)
    top = models[sources[0].model]
    kept = {
        suffix: WeightedEntry(model=str(top.model), entry=top.layers[0][suffix], value=1.0)
        for suffix in first
        if sources[0].layer != 0 and suffix in top.layers[0]
    }
    return [LayerPlace(added=kept), *[LayerPlace(omitted=first)] * (len(sources) - 1)]


def _check_end(tensor: PlacedTensor, index: int, count: int, source: Source, model: SourceModel) -> None:
    last = tensor.place is Place.LAST
    end = model.stack.num_layers - 1 if last else 0
    stands = index == (count - 1 if last else 0)
    if (source.layer == end) == stands:
        return
    raise ArchitectureError(
        f"{source.model}: layer {source.layer} can't become output layer {index}: "
        f"{tensor.place.value} {tensor.suffix!r}, which belongs to that place",
        hint=f"Let the {'last slice end' if last else 'first slice start'} with layer {end}, "
        "and use that layer nowhere else.",
    )
