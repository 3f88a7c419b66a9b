"""Tensors outside the stack that hold a part for every layer: their parts follow the layers."""

import math
from collections.abc import Sequence

from distexpand.architecture.depth_indexed import (
    DepthIndexed,
    depth_indexed,
    is_of_depth_indexed,
    may_be_depth_indexed,
)
from distexpand.errors import ArchitectureError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.modules import StackRecipe
from distexpand.planning.operations import Gather
from distexpand.planning.resolver import Resolver
from distexpand.planning.sources import SourceModel, primary_source
from distexpand.planning.tensors import OutputTensor
from distexpand.recipe.canonical import Part, first_match


def gathered_tensor(
    resolver: Resolver, part: Part, name: str, entries: Sequence[TensorEntry | None]
) -> OutputTensor | None:
    """Return a tensor whose parts are in the output layers' order, or nothing for one without such parts.

    Raises:
        ArchitectureError: the parts can't follow the layers, or it isn't clear whether they have to.
    """
    entry = next((entry for entry in entries if entry is not None), None)
    if entry is None:
        return None
    for stack in (StackRecipe(recipe=resolver.recipe, models=resolver.models), *resolver.further):
        # A further stack is opened for the models of its own layers only.
        base = stack.models[stack.recipe.base_model]
        model = stack.models.get(primary_source(part).model, base)
        order = [source.layer or 0 for source in map(primary_source, stack.recipe.layers)]
        if order == list(range(model.stack.num_layers)):
            continue
        found = depth_indexed(name, entry.shape, model.stack_config, model.stack.num_layers)
        if found is not None:
            _check_plain(resolver, stack, part, entry)
            return _gathered(resolver, model, entry, found, order)
        _check_unknown(name, entry, model)
    return None


def _gathered(
    resolver: Resolver, model: SourceModel, entry: TensorEntry, found: DepthIndexed, order: Sequence[int]
) -> OutputTensor:
    shape = list(entry.shape)
    shape[found.axis] = found.size * len(order)
    part, rest = divmod(found.size * math.prod(entry.shape[found.axis + 1 :]) * entry.dtype.bits, 8)
    if rest:
        raise _unknown(entry.name, entry, model)
    operation = Gather(
        offset=0,
        length=math.prod(shape) * entry.dtype.bits // 8,
        source=resolver.number(str(model.model), entry.file),
        source_offset=entry.offset,
        row=part * model.stack.num_layers,
        part=part,
        parts=tuple(order),
    )
    return OutputTensor(name=entry.name, dtype=entry.dtype, shape=tuple(shape), operation=operation)


def _check_plain(resolver: Resolver, stack: StackRecipe, part: Part, entry: TensorEntry) -> None:
    """Check that all layers are of the tensor's own model, and that it is only copied."""
    model = primary_source(part).model
    others = {primary_source(layer).model for layer in stack.recipe.layers} - {model}
    if others or len(part.sources) > 1:
        other = min(others, default=part.sources[-1].model)
        raise ArchitectureError(
            f"tensor {entry.name!r} holds a part for every layer, "
            f"and the recipe takes layers from {other}, too",
            hint=f"Take all layers from {model}.",
        )
    scaled = first_match(part.sources[0].scale, entry.name, 1.0) != 1
    if scaled or resolver.casting.resolve(entry, str(model)) != (entry.dtype, entry.dtype):
        raise ArchitectureError(
            f"tensor {entry.name!r} holds a part for every layer, "
            "which can be copied only, not scaled or cast",
            hint="Leave dtype and out_dtype out of the recipe, and the tensor out of the scales.",
        )


def _check_unknown(name: str, entry: TensorEntry, model: SourceModel) -> None:
    parent, dot, _ = model.stack.prefix.rstrip(".").rpartition(".")
    known = name.startswith(parent + dot) and is_of_depth_indexed(name, entry.shape)
    if known or may_be_depth_indexed(name, entry.shape, model.stack.num_layers):
        raise _unknown(name, entry, model)


def _unknown(name: str, entry: TensorEntry, model: SourceModel) -> ArchitectureError:
    return ArchitectureError(
        f"{model.model}: tensor {name!r} is {list(entry.shape)} beside {model.stack.num_layers} layers; "
        "it may hold a value for every layer, and it isn't known how they would follow the new order",
        hint="If it is quantised, use the model as it was before; else please report the model, "
        "so that it can be added to architecture/depth_indexed.py.",
    )
