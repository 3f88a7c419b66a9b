"""Say what a model is made of, from its headers and config."""

from pathlib import Path

from distexpand.architecture.stacks.stack import find_layer_stacks
from distexpand.errors import UsageError
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.locate import did_you_mean_path, locate
from distexpand.planning.sources import source_model
from distexpand.planning.survey import survey
from distexpand.recipe.canonical import ModelRef
from distexpand.report.inspection import Inspection


def inspect_model(path: str, *, stack: str = "") -> Inspection:
    """Read a model's headers and config and say what it is made of.

    Args:
        path: the model's directory.
        stack: the stack to look at, by its prefix or a part of it; empty for the language
            model's or decoder's.

    Raises:
        DistexpandError: it can't be read or its layers can't be found.
    """
    ref = ModelRef(name=path)
    try:
        store = locate(ref, {})
    except UsageError:
        raise UsageError(
            f"{path}: no such directory",
            hint=did_you_mean_path(Path(path)) or "Give the directory that a model was downloaded to.",
        ) from None
    checkpoint = read_checkpoint(ref, store)
    model = source_model(ref, checkpoint.config, checkpoint.catalog, stack=stack)
    found = survey(model)
    dtypes: dict[str, int] = {}
    for entry in checkpoint.catalog.tensors.values():
        dtypes[entry.dtype.value] = dtypes.get(entry.dtype.value, 0) + entry.length
    return Inspection(
        model=path,
        stack=model.stack,
        stacks=find_layer_stacks(checkpoint.catalog.tensors, model.config, origin=path),
        tensors=len(checkpoint.catalog.tensors),
        parameters=sum(entry.parameters for entry in checkpoint.catalog.tensors.values()),
        bytes=sum(file.size for file in checkpoint.catalog.files.values()),
        dtypes=dtypes,
        files=len(checkpoint.catalog.files),
        per_layer_keys=found.lists,
        outside=(*model.before, *model.after),
        kinds=found.kinds,
        attributes=found.attributes,
        notes=found.notes,
    )
