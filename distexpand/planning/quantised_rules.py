"""What a recipe's rules mean for quantised weights, whose tensors only mean something together.

A rule speaks of tensors by name, and a filter may catch some of a weight's
tensors and miss others. So the tensors of one weight are judged together: all
of them are copied, or the weight becomes zero the way that its format has it.
Anything else would give numbers that nobody asked for, and is refused.
"""

from collections.abc import Mapping, Sequence

from distexpand.architecture.quantised import QuantisedSet, quantised_sets, zero_values
from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.tensors import Casting
from distexpand.recipe.canonical import MergeMethod, Part, Source, first_match

_HINT = "Use the model as it was before quantisation, or leave its quantised weights alone."


def quantised_values(
    part: Part, sides: Sequence[Mapping[str, TensorEntry]], casting: Casting, method: MergeMethod
) -> Mapping[str, float | None]:
    """Return what the tensors of a part's quantised weights become: a value, or nothing for a copy.

    Args:
        part: the output layer, or the tensors outside the stack.
        sides: the tensors of each of its sources, by the names that they have in common.
        casting: the recipe's dtypes.
        method: what the sources' numbers mean.

    Raises:
        RecipeError: a quantised weight would be scaled, cast, blended or changed in part.
    """
    values: dict[str, float | None] = {}
    for source, tensors in zip(part.sources, sides, strict=True):
        for weight in quantised_sets({name: entry.dtype for name, entry in tensors.items()}):
            found = _weight_values(part, source, weight, tensors, method)
            if not values.keys().isdisjoint(found):
                raise _refused(source, weight, "can't be blended with another source's")
            if found:
                _refuse_cast(source, weight, tensors, casting)
            values.update(found)
    return values


def _weight_values(
    part: Part,
    source: Source,
    weight: QuantisedSet,
    tensors: Mapping[str, TensorEntry],
    method: MergeMethod,
) -> Mapping[str, float | None]:
    """Return what one weight's tensors become; nothing at all where the source has no share in them."""
    numbers = _numbers(part, source, weight, tensors, method)
    if numbers == {1.0}:
        return dict.fromkeys(weight.leaves.values())
    if numbers == {0.0}:
        return {} if method is MergeMethod.LINEAR else _zeros(source, weight, tensors)
    listed = " and ".join(f"{number:g}" for number in sorted(numbers))
    raise _refused(source, weight, f"only 0 or 1 is possible as the scale of all its tensors, not {listed}")


def _numbers(
    part: Part,
    source: Source,
    weight: QuantisedSet,
    tensors: Mapping[str, TensorEntry],
    method: MergeMethod,
) -> set[float]:
    """Return what a weight's tensors are multiplied by; the only weight of a normalised sum counts as 1."""
    rules = source.weight if method is MergeMethod.LINEAR else source.scale
    numbers = {first_match(rules, tensors[name].name, 1.0) for name in weight.leaves.values()}
    if method is MergeMethod.LINEAR and part.normalize:
        return {float(number != 0) for number in numbers}
    return numbers


def _zeros(
    source: Source, weight: QuantisedSet, tensors: Mapping[str, TensorEntry]
) -> dict[str, float | None]:
    zeros = zero_values({leaf: tensors[name].dtype for leaf, name in weight.leaves.items()})
    if zeros is None:
        raise _refused(source, weight, "it isn't known how a zero is stored")
    return {name: zeros.get(leaf) for leaf, name in weight.leaves.items()}


def _refuse_cast(
    source: Source, weight: QuantisedSet, tensors: Mapping[str, TensorEntry], casting: Casting
) -> None:
    for name in weight.leaves.values():
        entry = tensors[name]
        if any(wanted != entry.dtype for wanted in casting.resolve(entry, str(source.model))):
            raise _refused(source, weight, f"can't be cast ({entry.name!r} is {entry.dtype.value})")


def _refused(source: Source, weight: QuantisedSet, reason: str) -> RecipeError:
    stored = f"stored as {weight.kind}" if weight.storage else "stored quantised in a way that isn't known"
    return RecipeError(f"{source.model}: {weight.weight!r} is {stored}: {reason}", hint=_HINT)
