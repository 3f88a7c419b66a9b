"""An adapter's tensors, each brought to the model's tensor that it changes.

Every tensor has to find its place, and every place has to be complete and of the right shape: what
is left over or half there is an error that names it, because a delta that is silently left out makes a
model that looks right.
"""

from collections import defaultdict
from typing import TypeAlias

from distexpand.architecture.shared_blocks import is_shared
from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.adapters.adapter import Adapter, AppliedAdapter, Change
from distexpand.planning.adapters.change import Piece, change_of
from distexpand.planning.adapters.names import AdapterName, Role, parse_adapter_name, spellings
from distexpand.planning.fit import is_tied
from distexpand.planning.sources import SourceModel

Place: TypeAlias = tuple[int | None, str]


def match_adapter(adapter: Adapter, model: SourceModel) -> AppliedAdapter:
    """Match an adapter with the model that it was trained for, as seen from one stack.

    Raises:
        RecipeError: a tensor of the adapter belongs nowhere, doesn't fit, or can't be merged.
    """
    base_layers = adapter.settings.base_layers() or tuple(range(model.stack.num_layers))
    _check_layers(adapter, model, base_layers)
    pieces: dict[Place, dict[Role, Piece]] = defaultdict(dict)
    for entry in adapter.catalog.tensors.values():
        named = parse_adapter_name(entry.name)
        place = None if named is None else _place(named, model, base_layers)
        if named is None or place is None:
            raise _homeless(adapter, model, entry, named, base_layers)
        if named.role in pieces[place]:
            other = pieces[place][named.role].entry.name
            raise RecipeError(f"{adapter.adapter}: {other!r} and {entry.name!r} are the same piece")
        pieces[place][named.role] = Piece(module=named.module, entry=entry)
    changes: dict[Place, Change] = {}
    outside = {**model.before, **model.after}
    for place, found in pieces.items():
        layer, suffix = place
        side = outside if layer is None else model.layers[base_layers[layer]]
        _check_place(adapter, model, place, next(iter(found.values())).entry, side[suffix])
        changes[place] = change_of(adapter, found, side[suffix], side)
    return AppliedAdapter(adapter=adapter, base_layers=base_layers, changes=changes)


def _check_layers(adapter: Adapter, model: SourceModel, base_layers: tuple[int, ...]) -> None:
    beyond = [layer for layer in base_layers if layer >= model.stack.num_layers]
    if beyond:
        raise RecipeError(
            f"{adapter.adapter}: layer_replication has layer {beyond[0]}, "
            f"but {model.model} has {model.stack.num_layers} layers",
            hint="Is this the model that the adapter was trained on?",
        )


def _place(named: AdapterName, model: SourceModel, base_layers: tuple[int, ...]) -> Place | None:
    """Return the adapter's layer and the suffix of the tensor that is changed, or its full name outside."""
    for name in spellings(named.target, model.stack.prefix):
        split = model.stack.split(name)
        if split is None:
            if name in model.before or name in model.after:
                return None, name
        elif split[0] < len(base_layers) and split[1] in model.layers[base_layers[split[0]]]:
            return split
    return None


def _homeless(
    adapter: Adapter,
    model: SourceModel,
    entry: TensorEntry,
    named: AdapterName | None,
    base_layers: tuple[int, ...],
) -> RecipeError:
    message = f"{adapter.adapter}: tensor {entry.name!r} "
    if named is None:
        return RecipeError(
            f"{message}isn't one that is known of LoRA, so it can't be merged",
            hint="Merge it with PEFT's merge_and_unload first, and use the merged model.",
        )
    if named.target.endswith("lm_head.weight") and _shares_head(model):
        return _tied(adapter, model, entry)
    return RecipeError(
        f"{message}changes {named.target!r}, which {model.model} doesn't have",
        hint="Is this the model that the adapter was trained on, not quantised? "
        f"The adapter is for layers 0 to {len(base_layers) - 1}.",
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
            hint="Merge it with PEFT's merge_and_unload first, and use the merged model.",
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
