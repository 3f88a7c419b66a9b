"""What is unusual about a model's layers, in sentences, and what an expansion does about it."""

from collections.abc import Iterator

from distexpand.architecture.depth_indexed import depth_indexed
from distexpand.architecture.kv_sharing import key_value_sources
from distexpand.architecture.positions import placed_tensors
from distexpand.planning.fit import is_tied
from distexpand.planning.sources import SourceModel


def oddities(model: SourceModel) -> Iterator[str]:
    """Yield a sentence for each."""
    yield from _numbers(model)
    yield from _bonds(model)
    yield from _outside(model)


def _numbers(model: SourceModel) -> Iterator[str]:
    stack = model.stack
    if stack.beyond:
        first = stack.num_layers
        last = first + stack.beyond - 1
        named = f"{stack.prefix}{first}" + (f" to {last}" if last > first else "")
        yield f"{named} lies beyond the count (multi-token prediction); it moves behind the new last layer"
    if stack.companions:
        yield f"layers are stored under {', '.join(stack.companions)} as well, and move together"
    for prefix in stack.unclear:
        yield f"{prefix}0 and so on are one off the number of layers; no new order of layers is possible"


def _bonds(model: SourceModel) -> Iterator[str]:
    if model.shared is not None:
        blocks = "one block" if model.shared.blocks == 1 else f"{model.shared.blocks} blocks in turn"
        yield f"{len(model.shared.users)} layers share {blocks}, stored with the first that uses it"
    for kind, layer in key_value_sources(model.stack_config, model.stack.num_layers).items():
        yield f"the last layers{f' of type {kind}' if kind else ''} use the keys and values of layer {layer}"
    for tensor in placed_tensors(model.layers, model.stack_config):
        then = "it stays in that place" if tensor.movable else "other layers can't come to stand there"
        yield f"{tensor.place.value} {tensor.suffix}; {then}"


def _outside(model: SourceModel) -> Iterator[str]:
    if is_tied(model):
        yield "the output head is the embeddings (tie_word_embeddings)"
    for name, entry in {**model.before, **model.after}.items():
        if depth_indexed(name, entry.shape, model.stack_config, model.stack.num_layers):
            yield f"{name} holds a part for every layer; its parts follow the layers"
    for level in (model.config, model.stack_config):
        found = level.get("quantization_config")
        if isinstance(found, dict):
            method = found.get("quant_method", "unknown method")
            yield f"the weights are quantised ({method}); they are copied or zeroed, never computed with"
            return
