"""`distexpand.load_virtual`: the model that a recipe would make, in memory, with nothing written."""

from collections.abc import Mapping
from typing import Any

from distexpand.api import PlannedExpansion
from distexpand.intake.recipe_text import RecipeLike, recipe_path
from distexpand.python.arguments import Place
from distexpand.python.planning import plan, refuse_settled
from distexpand.running.libraries import require_running
from distexpand.running.runnable import planned_model


def load_virtual(
    recipe: RecipeLike | PlannedExpansion,
    *,
    models: Mapping[str, Place] | None = None,
    model: Place | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    **options: Any,
) -> Any:
    """Load the model that a recipe would make, with nothing written, in the memory of its sources.

    Layers that are copies share their parameters, and each has its own place in a cache. What
    is copied from local files is mapped from there: leave them in place as long as the model
    lives. Changing a shared parameter changes every copy; write the model out to train it.

    Args:
        recipe: what `plan` takes, or what it gave.
        models: as for `plan`; not with a plan, which has it settled.
        model: likewise.
        dtype: as `from_pretrained` takes it; another dtype than the stored one takes memory of its own.
        trust_remote_code: whether code that came with the model may run.
        options: more for `from_pretrained`, such as `attn_implementation`.

    Returns:
        A transformers model, in evaluation mode.

    Raises:
        DistexpandError: the recipe can't be planned, or the model not be loaded.
    """
    require_running()
    from distexpand.running.virtual import materialise  # noqa: PLC0415  # brings torch

    if isinstance(recipe, PlannedExpansion):
        refuse_settled({"models": models, "model": model})
        planned, origin = recipe, "the plan"
    else:
        planned = plan(recipe, models=models, model=model)
        origin = str(recipe_path(recipe) or "the recipe")
    with planned_model(planned.plan, origin=origin) as runnable:
        return materialise(runnable, trust_remote_code=trust_remote_code, dtype=dtype, **options)
