"""Whether a plan only adds identity blocks to its base model, so that both have to say the same."""

from collections.abc import Iterator

from distexpand.planning.check import shard_header
from distexpand.planning.model import Plan
from distexpand.planning.operations import Copy, Gather, Operation, sources_of
from distexpand.recipe.parse import parse_recipe


def base_model(plan: Plan) -> str:
    """Return the name of a plan's base model, as its locations have it."""
    return str(parse_recipe(plan.recipe, origin="the plan's recipe", default_model=None).base_model)


def only_adds_identities(plan: Plan, *, layers_before: int) -> bool:
    """Whether the base model's layers follow one another unchanged, with nothing but identity blocks between.

    Args:
        plan: what was or would be made.
        layers_before: the base model's layers.
    """
    base = base_model(plan)
    kept = [layer for layer in plan.layers if not layer.identity]
    if [(layer.model, layer.layer) for layer in kept] != [(base, index) for index in range(layers_before)]:
        return False
    if any(layer.others for layer in kept) or _expands_further_stacks(plan):
        return False
    return all(_is_kept(operation, plan, base) for operation in _outside_identities(plan))


def _expands_further_stacks(plan: Plan) -> bool:
    return bool(parse_recipe(plan.recipe, origin="the plan's recipe", default_model=None).modules)


def _is_kept(operation: Operation, plan: Plan, base: str) -> bool:
    """Whether an operation takes bytes of the base model as they are."""
    if not isinstance(operation, Copy | Gather):
        return False
    return all(plan.sources[number].model == base for number in sources_of([operation]))


def _outside_identities(plan: Plan) -> Iterator[Operation]:
    """Yield what makes all tensors that aren't in an identity block."""
    prefixes = tuple(
        f"{plan.layer_prefix}{index}." for index, layer in enumerate(plan.layers) if layer.identity
    )
    for shard in plan.shards:
        header = shard_header(shard)
        ends = [(header.tensors[name].offset, name) for name in header.in_order()]
        position = 0
        for operation in shard.operations:
            while position + 1 < len(ends) and ends[position + 1][0] <= operation.offset:
                position += 1
            if not ends[position][1].startswith(prefixes):
                yield operation
