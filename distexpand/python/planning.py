"""`distexpand.plan`: a recipe, or a plan that was kept, to a plan."""

from collections.abc import Mapping

from distexpand.api import PlannedExpansion, plan_expansion
from distexpand.errors import UsageError
from distexpand.intake.recipe_text import (
    RecipeLike,
    RecipeText,
    decode_recipe,
    read_recipe,
    recipe_path,
    recipe_text,
)
from distexpand.python.arguments import LayoutName, Place, layout_of, places_of, shard_bytes
from distexpand.python.load_check import checked_load
from distexpand.python.saved_plan import decode_saved, is_saved_plan


def plan(
    recipe: RecipeLike,
    *,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    shard_size: int | str | None = None,
    layout: LayoutName | None = None,
    check_load: bool = False,
    trust_remote_code: bool = False,
) -> PlannedExpansion:
    """Plan an expansion from headers and configs alone; nothing is written, and no weight is read.

    Args:
        recipe: the path of a recipe or of a plan that `save_plan` wrote, a recipe's text, or its content as a
            mapping, in any dialect.
        models: path or address of the models that the recipe names; what is left out is a directory of the
            model's name, or else looked for on the Hub.
        model: path or address of the model of a recipe that names none.
        shard_size: most tensor data per shard, in bytes or as text; 5 GB where nothing is said.
        layout: which tensors share a shard: `layers` (neighbours, the default) or `by-source`.
        check_load: prove that the output would load in transformers; takes seconds.
        trust_remote_code: whether code that came with a model may run for that.

    Returns:
        The plan with what was noticed on the way. `print` it for the layer picture and figures.

    Raises:
        DistexpandError: recipe, sources or config don't allow it.
    """
    if isinstance(recipe, PlannedExpansion):
        raise UsageError("this is a plan already", hint="Print it, run it, or keep it with save_plan.")
    settled = {"models": models, "model": model, "shard_size": shard_size, "layout": layout}
    raw, given = _read(recipe)
    if raw is not None and is_saved_plan(raw):
        refuse_settled(settled)
        planned = decode_saved(raw, origin=given.origin)
    else:
        planned = plan_expansion(
            given.text if raw is None else decode_recipe(raw, origin=given.origin),
            origin=given.origin,
            places=places_of(model, models),
            shard_size=shard_bytes(shard_size),
            layout=layout_of(layout),
        )
    if check_load:
        planned, _ = checked_load(planned, trust_remote_code=trust_remote_code)
    return planned


def _read(recipe: RecipeLike) -> tuple[bytes | None, RecipeText]:
    """Return the bytes of a file, not yet known to be text, and what to call it; or the text given itself."""
    path = recipe_path(recipe)
    if path is None:
        return None, recipe_text(recipe)
    return read_recipe(path), RecipeText(text="", origin=str(path))


def refuse_settled(settled: Mapping[str, object]) -> None:
    """Refuse what a plan has settled already.

    Raises:
        UsageError: something of it is given.
    """
    for name, given in settled.items():
        if given is not None:
            raise UsageError(
                f"{name} has no meaning with a plan that is made already",
                hint="It is part of the plan; make the plan again to change it.",
            )
