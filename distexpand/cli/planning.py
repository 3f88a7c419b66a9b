"""RECIPE, as `plan` and `run` take it: a recipe, or a plan that `plan --save` wrote; a file or `-`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.cli.options import DEFAULT_SHARD_SIZE_TEXT, LAYOUTS, parse_places, parse_size
from distexpand.errors import UsageError

if TYPE_CHECKING:
    from distexpand.api import PlannedExpansion


_NOT_SUBMITTED = (
    "a saved plan can't be submitted: it names the places that its sources had where it was made",
    "Submit the recipe, or on a machine of the cluster: distexpand run --ray --address auto",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRecipe:
    """A recipe that a command has written itself, what to call it, and where its models lie."""

    text: str
    origin: str
    places: Mapping[str, str]


def planned_expansion(
    recipe: str | WrittenRecipe, models: tuple[str, ...], shard_size: str | None, layout: str | None
) -> "PlannedExpansion":
    """Return the plan of a recipe, or a saved plan; a written recipe has its places with it.

    Raises:
        DistexpandError: it can't be read, planned, or goes without these options.
    """
    from distexpand.api import plan_expansion
    from distexpand.planning.layout import Layout
    from distexpand.python.saved_plan import decode_saved, is_saved_plan

    if not isinstance(recipe, WrittenRecipe):
        raw, origin = _read(recipe)
        if is_saved_plan(raw):
            _refuse_settled({"--model": models or None, "--shard-size": shard_size, "--layout": layout})
            return decode_saved(raw, origin=origin)
        recipe = WrittenRecipe(text=_text(raw, origin), origin=origin, places=parse_places(models))
    return plan_expansion(
        recipe.text,
        origin=recipe.origin,
        places=recipe.places,
        shard_size=parse_size(shard_size or DEFAULT_SHARD_SIZE_TEXT),
        layout=Layout(layout or LAYOUTS[0]),
    )


def _refuse_settled(settled: Mapping[str, object]) -> None:
    for option, given in settled.items():
        if given is not None:
            raise UsageError(
                f"{option} has no meaning with a saved plan",
                hint="It is part of the plan; make the plan again to change it.",
            )


def recipe_text(recipe: str, *, refusal: tuple[str, str] = _NOT_SUBMITTED) -> tuple[str, str]:
    """Return the text of a recipe that isn't planned here, and what to call it; `refusal` is of a saved plan.

    Raises:
        UsageError: it can't be read, or is a saved plan.
    """
    from distexpand.python.saved_plan import is_saved_plan

    raw, origin = _read(recipe)
    if is_saved_plan(raw):
        message, hint = refusal
        raise UsageError(f"{origin}: {message}", hint=hint)
    return _text(raw, origin), origin


def _read(recipe: str) -> tuple[bytes, str]:
    """Return a file's bytes and what to call it; `-` is standard input."""
    name = "standard input" if recipe == "-" else recipe
    if recipe == "-" and sys.stdin is None:
        raise UsageError(f"{name}: can't read the recipe: it is closed", hint="Give the recipe's file.")
    from distexpand.intake.recipe_text import unreadable_recipe

    try:
        return sys.stdin.buffer.read() if recipe == "-" else Path(recipe).read_bytes(), name
    except OSError as error:
        raise unreadable_recipe(name, error) from None


def _text(raw: bytes, origin: str) -> str:
    from distexpand.intake.recipe_text import decode_recipe

    return decode_recipe(raw, origin=origin)
