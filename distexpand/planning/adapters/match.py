"""An adapter's tensors, each brought to the model's tensor that it changes.

Every tensor has to find its place, and every place has to be complete and of the right shape: what
is left over or half there is an error that names it, because a delta that is silently left out makes a
model that looks right.
"""

from collections import defaultdict
from collections.abc import Mapping

from distexpand.architecture.shared_blocks import is_shared
from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.adapters.adapter import Adapter, AppliedAdapter, Change
from distexpand.planning.adapters.change import Piece, change_of
from distexpand.planning.adapters.names import AdapterName, Role, parse_adapter_name, spellings
from distexpand.planning.adapters.places import KnownPlaces, Place
from distexpand.planning.fit import is_tied
from distexpand.planning.sources import SourceModel

_MERGE_FIRST = "Merge it with PEFT's merge_and_unload first, and use the merged model."


def match_adapter(adapter: Adapter, model: SourceModel) -> AppliedAdapter:
    """Match an adapter with the model that it was trained for, as seen from one stack.

    Raises:
        RecipeError: a tensor of the adapter belongs nowhere, doesn't fit, or can't be merged.
    """
    base_layers = adapter.settings.base_layers() or tuple(range(model.stack.num_layers))
    _check_layers(adapter, model, base_layers)
    pieces: dict[Place, dict[Role, Piece]] = defaultdict(dict)
    known = KnownPlaces(model, base_layers)
    for entry in adapter.catalog.tensors.values():
        named = parse_adapter_name(entry.name)
        if named is None:
            raise _unknown(adapter, entry)
        places = _places(named, model, known)
        if len(places) != 1:
            raise _homeless(adapter, model, entry, named, known)
        (place,) = places
        _check_single(adapter, pieces[place], named, entry)
        pieces[place][named.role] = Piece(module=named.module, entry=entry)
    changes: dict[Place, Change] = {}
    outside = {**model.before, **model.after}
    for place, found in pieces.items():
        layer, suffix = place
        side = outside if layer is None else model.layers[base_layers[layer]]
        _check_place(adapter, model, place, next(iter(found.values())).entry, side[suffix])
        changes[place] = change_of(adapter, found, side[suffix], side)
    return AppliedAdapter(adapter=adapter, base_layers=base_layers, changes=changes)


def _check_single(
    adapter: Adapter, found: Mapping[Role, Piece], named: AdapterName, entry: TensorEntry
) -> None:
    """Check that nothing else of an adapter, and no other module of it, is for the same tensor."""
    for role, piece in found.items():
        if role is named.role or piece.module != named.module:
            what = "the same piece" if role is named.role else "for one tensor of the model"
            raise RecipeError(f"{adapter.adapter}: {piece.entry.name!r} and {entry.name!r} are {what}")


def _check_layers(adapter: Adapter, model: SourceModel, base_layers: tuple[int, ...]) -> None:
    beyond = [layer for layer in base_layers if layer >= model.stack.num_layers]
    if beyond:
        raise RecipeError(
            f"{adapter.adapter}: layer_replication has layer {beyond[0]}, "
            f"but {model.model} has {model.stack.num_layers} layers",
            hint="Is this the model that the adapter was trained on?",
        )


def _places(named: AdapterName, model: SourceModel, known: KnownPlaces) -> tuple[Place, ...]:
    """Return every place that a name may mean: only one if the model has a tensor of this very name."""
    exactly, *others = spellings(named.target, model.stack.prefix)
    same = known.place_of(exactly)
    if same is not None:
        return (same,)
    spelled = (known.place_of(name) for name in others)
    return tuple(dict.fromkeys((*filter(None, spelled), *known.find(named.target))))


def _unknown(adapter: Adapter, entry: TensorEntry) -> RecipeError:
    return RecipeError(
        f"{adapter.adapter}: tensor {entry.name!r} isn't one that is known of LoRA, so it can't be merged",
        hint=_MERGE_FIRST,
    )


def _homeless(
    adapter: Adapter, model: SourceModel, entry: TensorEntry, named: AdapterName, known: KnownPlaces
) -> RecipeError:
    """Return the error of a tensor that is for none of the model's, or for one that can't be told."""
    if named.target.endswith("lm_head.weight") and _shares_head(model):
        return _tied(adapter, model, entry)
    message = f"{adapter.adapter}: tensor {entry.name!r} changes {named.target!r}, which "
    several = [repr(known.name_of(place)) for place in _places(named, model, known)]
    if several:
        return RecipeError(f"{message}may be {' or '.join(several)} in {model.model}", hint=_MERGE_FIRST)
    alike = known.alike(named.target)
    if alike:
        return RecipeError(
            f"{message}{model.model} doesn't have by that name; its {alike!r} may be the same, "
            "named otherwise when the model is loaded, but that isn't certain",
            hint=_MERGE_FIRST,
        )
    return RecipeError(
        f"{message}{model.model} doesn't have",
        hint="Is this the model that the adapter was trained on, not quantised? "
        f"The adapter is for layers 0 to {known.num_layers - 1}. If transformers renames its tensors on "
        "loading, merge the adapter with PEFT's merge_and_unload first, and use the merged model.",
    )


def _check_place(
    adapter: Adapter, model: SourceModel, place: Place, entry: TensorEntry, base: TensorEntry
) -> None:
    """Check that one tensor of the model can be changed alone.

    Raises:
        RecipeError: layers share it, or embeddings and head are one.
    """
    layer, suffix = place
    if layer is not None and model.shared is not None and is_shared(suffix):
        raise RecipeError(
            f"{adapter.adapter}: tensor {entry.name!r} changes a block that layers of {model.model} share",
            hint=_MERGE_FIRST,
        )
    if layer is None and _is_of_vocabulary(model, base) and _shares_head(model):
        raise _tied(adapter, model, entry)


def _is_of_vocabulary(model: SourceModel, entry: TensorEntry) -> bool:
    """Whether a tensor outside the stack has a row for every token, as embeddings and head have."""
    size = model.stack_config.get("vocab_size", model.config.get("vocab_size"))
    return len(entry.shape) > 1 and size in {None, entry.shape[0]}


def _shares_head(model: SourceModel) -> bool:
    """Whether the embeddings are the head as well; many a class ties them without its config saying so."""
    return is_tied(model) or not any(_is_of_vocabulary(model, entry) for entry in model.after.values())


def _tied(adapter: Adapter, model: SourceModel, entry: TensorEntry) -> RecipeError:
    return RecipeError(
        f"{adapter.adapter}: tensor {entry.name!r} changes either embeddings or head, "
        f"but both are one tensor in {model.model}",
        hint="Load the model with transformers and save it untied (tie_word_embeddings=False), "
        "then use that as the model.",
    )
