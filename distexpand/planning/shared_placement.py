"""Blocks that several layers share: which output layer stores them, and whose adapters they hold.

A block goes with the first output layer that uses it. Where the source stores
the block with layers beyond the first, as it does where weights aren't tied,
each of these keeps its own, and so does a further copy of the first. Adapters are
numbered by the layers that use the blocks, so they are gathered anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distexpand.architecture.shared_blocks import adapter_user, is_shared, renumbered_adapter
from distexpand.errors import ArchitectureError
from distexpand.planning.sources import SourceModel, Tensors
from distexpand.planning.tensors import WeightedEntry
from distexpand.recipe.canonical import ModelRef, Source, first_match


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlace:
    """One output layer's exceptions: suffixes to leave out, and tensors to add by suffix."""

    omitted: frozenset[str] = frozenset()
    added: Mapping[str, WeightedEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """An output layer that uses a shared block; `number` counts such layers in its source.

    `keeps_own` says that the source stores a block for this layer beside those of others.
    """

    index: int
    source: Source
    number: int
    layer: Tensors
    keeps_own: bool


def place_shared_blocks(
    sources: Sequence[Source], models: Mapping[ModelRef, SourceModel]
) -> dict[int, LayerPlace]:
    """Return the exceptions of every output layer that uses a shared block.

    Raises:
        ArchitectureError: a layer would come to use another block, or one would be scaled.
    """
    users = [user for index, source in enumerate(sources) for user in _user(index, source, models)]
    blocks = next((b.blocks for s in sources if (b := models[s.model].shared) is not None), 1)
    for position, user in enumerate(users):
        _check(user, position, blocks, users[0].source)
    return {
        user.index: _place(user, users[position % blocks :: blocks], position, blocks)
        for position, user in enumerate(users)
    }


def _user(index: int, source: Source, models: Mapping[ModelRef, SourceModel]) -> list[_User]:
    model, place = models[source.model], source.layer or 0
    number = model.shared.number(place) if model.shared else None
    if number is None:
        return []
    further = model.shared.users[model.shared.blocks :] if model.shared else ()
    own = _stores_block(model, place) and any(_stores_block(model, other) for other in further)
    return [_User(index=index, source=source, number=number, layer=model.layers[place], keeps_own=own)]


def _stores_block(model: SourceModel, place: int) -> bool:
    """Whether a block is stored under a layer's own name."""
    return any(
        is_shared(suffix) and entry.name == model.stack.name(place, suffix)
        for suffix, entry in model.layers[place].items()
    )


def _place(user: _User, mates: Sequence[_User], position: int, blocks: int) -> LayerPlace:
    shared = [suffix for suffix in user.layer if is_shared(suffix)]
    if position >= blocks and not user.keeps_own:
        return LayerPlace(omitted=frozenset(shared))
    adapters = {
        renumbered_adapter(suffix, position % blocks + blocks * turn): _entry(mate, suffix)
        for turn, mate in enumerate(mates)
        for suffix in mate.layer
        if adapter_user(suffix) == mate.number
    }
    omitted = frozenset(suffix for suffix in shared if adapter_user(suffix) is not None)
    return LayerPlace(omitted=omitted, added=adapters)


def _entry(user: _User, suffix: str) -> WeightedEntry:
    return WeightedEntry(model=str(user.source.model), entry=user.layer[suffix], value=1.0)


def _check(user: _User, position: int, blocks: int, first: Source) -> None:
    source = user.source
    if source.model != first.model:
        raise ArchitectureError(
            f"{source.model}: layer {source.layer} shares a block with other layers, and so do layers of "
            f"{first.model}; the output can hold the blocks of one model only"
        )
    if position % blocks != user.number % blocks:
        raise ArchitectureError(
            f"{source.model}: layer {source.layer} can't become output layer {user.index}: it uses shared "
            f"block {user.number % blocks}, and there it would use block {position % blocks}",
            hint=f"Repeat or drop layers that share blocks {blocks} at a time.",
        )
    for suffix, entry in user.layer.items():
        if is_shared(suffix) and first_match(source.scale, entry.name, 1.0) != 1:
            raise ArchitectureError(
                f"{source.model}: tensor {entry.name!r} is shared by several layers, "
                "so it can't be scaled for one of them",
                hint="Give the scale a filter that leaves it out.",
            )
