"""Before and after training: the new layers by name, everything else frozen, and the way back.

All of it starts from an output's manifest, which knows which layers are new.
What needs torch and transformers is imported when it is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distexpand.api import plan_expansion
from distexpand.architecture.stacks.stack import find_layer_stack
from distexpand.errors import UsageError
from distexpand.formats.json_text import load_json_object
from distexpand.handoff.new_parameters import NewParameters
from distexpand.handoff.undo import undo_recipe
from distexpand.intake.pins import read_whole
from distexpand.planning.model import CONFIG_NAME
from distexpand.recipe.parse import parse_recipe
from distexpand.running.libraries import require_running
from distexpand.running.runnable import planned_model, stored_model
from distexpand.storage.local.directories import LocalSource
from distexpand.verifying.structure import read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What is left to train: numbers in all parameters that are trained and that are frozen."""

    layers: tuple[int, ...]
    trainable_parameters: int
    frozen_parameters: int


def new_parameters(output: str | Path, *, trust_remote_code: bool = False) -> NewParameters:
    """Return the parameters of an output's new layers, by the names that transformers gives them.

    Args:
        output: the directory.
        trust_remote_code: whether code that came with the model may run.

    Raises:
        UsageError: the output has no new layers.
        DistexpandError: it can't be read or loaded.
    """
    return _new_parameters(Path(output), trust_remote_code=trust_remote_code)[0]


def _new_parameters(output: Path, *, trust_remote_code: bool) -> tuple[NewParameters, dict[str, Any]]:
    """Return what `new_parameters` does, and the shape of every parameter by each of its names."""
    require_running()
    from distexpand.running.new_parameters import find_new_parameters  # noqa: PLC0415  # brings torch
    from distexpand.running.opened import open_model  # noqa: PLC0415

    manifest = read_manifest(output)
    new = [index for index, layer in enumerate(manifest.layers) if layer.new]
    if not new:
        raise UsageError(
            f"{output}: has no new layers: every layer is the first copy of another source layer",
            hint="Train all of it, or choose the layers yourself.",
        )
    with stored_model(LocalSource(output.resolve()), origin=str(output)) as runnable:
        stack = find_layer_stack(
            runnable.weights.tensors, _config(output), origin=str(output), wanted=manifest.layer_prefix
        )
        opened = open_model(
            runnable.weights, runnable.directory, origin=runnable.origin, trust_remote_code=trust_remote_code
        )
        return find_new_parameters(opened, runnable.weights, stack, new), _shapes(opened.model)


def _shapes(model: Any) -> dict[str, Any]:
    return {name: tuple(each.shape) for name, each in model.named_parameters(remove_duplicate=False)}


def _config(output: Path) -> Mapping[str, Any]:
    return load_json_object(read_whole(LocalSource(output), CONFIG_NAME), origin=f"{output}/{CONFIG_NAME}")


def freeze_original(model: Any, output: str | Path, *, trust_remote_code: bool = False) -> Frozen:
    """Freeze all of a model but an output's new layers.

    Args:
        model: what transformers loaded from the output, or from where it was saved since.
        output: the directory that `distexpand run` wrote.
        trust_remote_code: whether code that came with the model may run.

    Returns:
        What is left to train.

    Raises:
        UsageError: the output has no new layers, or the model isn't of it.
        DistexpandError: the output can't be read.
    """
    found, shapes = _new_parameters(Path(output), trust_remote_code=trust_remote_code)
    _require_same_layers(_shapes(model), shapes, found.stems, origin=str(output))
    parameters = dict(model.named_parameters())
    names = frozenset(found.names)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in names)
    trainable = sum(parameters[name].numel() for name in names)
    return Frozen(
        layers=found.layers,
        trainable_parameters=trainable,
        frozen_parameters=sum(parameter.numel() for parameter in parameters.values()) - trainable,
    )


def _require_same_layers(
    present: Mapping[str, Any], expected: Mapping[str, Any], stems: tuple[str, ...], *, origin: str
) -> None:
    """Check that a model has an output's layers; embeddings may have grown by tokens of a trainer.

    Raises:
        UsageError: one isn't there, has another shape, or there are more.
    """
    differing = [
        name
        for name in (*expected, *present)
        if name.startswith(stems) and present.get(name) != expected.get(name)
    ]
    if not differing:
        return
    name = differing[0]
    found, wanted = present.get(name), expected.get(name)
    if found is None:
        difference = f"it has no parameter {name!r}"
    elif wanted is None:
        difference = f"it has a parameter {name!r} that the output doesn't have"
    else:
        difference = f"{name!r} has shape {list(found)}, in the output {list(wanted)}"
    raise UsageError(
        f"the model isn't the one of {origin}: {difference}",
        hint="Give the model as transformers loaded it, before anything is wrapped around it.",
    )


def undoing_recipe(output: str | Path) -> str:
    """Return a recipe that takes an output's expansion back: its original layers in their order.

    The recipe calls its model by the output's name; with `places` it can be given a trained
    copy of the output in its stead.

    Raises:
        UsageError: an original layer isn't in the output as it was.
        DistexpandError: the output's manifest can't be read.
    """
    output = Path(output)
    manifest = read_manifest(output)
    recipe = parse_recipe(manifest.recipe, origin="the manifest's recipe", default_model=None)
    return undo_recipe(manifest.layers, recipe, name=_name(output))


def _name(output: Path) -> str:
    return output.resolve().name


def drop_new_layers(model: Any, output: str | Path, *, trust_remote_code: bool = False) -> Any:
    """Return the original model out of an expanded one, whose new layers may have been trained.

    Args:
        model: what transformers loaded from the output, or from where it was saved since.
        output: the directory that `distexpand run` wrote.
        trust_remote_code: whether code that came with the model may run.

    Returns:
        A model of the original layers. It shares their parameters with `model`, which stays as it is.

    Raises:
        UsageError: an original layer isn't in the output as it was, or the model isn't of it.
        DistexpandError: the output can't be read.
    """
    require_running()
    from distexpand.running.dropping import without_new_layers  # noqa: PLC0415  # brings torch

    output = Path(output)
    place = output.resolve()
    plan = plan_expansion(undoing_recipe(output), origin="undo", places={_name(output): str(place)}).plan
    with (
        stored_model(LocalSource(place), origin=str(output)) as expanded,
        planned_model(plan, origin=str(output)) as undone,
    ):
        return without_new_layers(model, expanded, undone, trust_remote_code=trust_remote_code)
