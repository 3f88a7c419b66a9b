"""Say what a model is made of, from its headers and config."""

from distexpand.architecture.stacks.stack import find_layer_stacks
from distexpand.intake.checkpoint import read_checkpoint
from distexpand.intake.locate import locate
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
    checkpoint = read_checkpoint(ref, locate(ref, {path: path}))
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
