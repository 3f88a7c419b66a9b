"""Which of a model's stacks a recipe speaks of: `stack`, and the names of `modules`."""

from distexpand.recipe.located import Located

_USUAL = frozenset({"default", "text", "text_decoder", "text_model", "language_model", "decoder"})
"""Words for the stack that is meant where none is named, mergekit's among them."""


def parse_stack(found: dict[str, Located]) -> str:
    """Return the stack that a recipe names; empty for the usual one.

    Raises:
        RecipeError: it isn't a name.
    """
    place = found.get("stack")
    if place is None:
        return ""
    if not isinstance(place.value, str) or not place.value.strip("."):
        raise place.wrong("the names of the tensors before the layer's number, as `encoder.block`")
    return stack_name(place.value)


def stack_name(text: str) -> str:
    """Return a stack's name, empty for a word that means the usual one."""
    name = text.strip(".")
    return "" if name in _USUAL else name
