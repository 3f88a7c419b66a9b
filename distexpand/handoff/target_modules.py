"""The modules of a model that LoRA is usually put on: the linear ones of its layers, by tensors' names."""

import re
from dataclasses import dataclass

from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.planning.adapters.matrix_layout import MATRIX, stored_transposed
from distexpand.planning.sources import SourceModel

_EXPERTS = re.compile(r"(^|\.)experts(\.|$)")
_ROUTER = re.compile(r"(^|\.)(gate|router)(\.|$)")
_NOT_LINEAR = re.compile(r"embed|bias|norm|conv", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetModules:
    """The last parts of the modules' names, how their matrices are stored, and what was left out and why."""

    names: tuple[str, ...]
    transposed: bool
    notes: tuple[str, ...]


def target_modules(model: SourceModel) -> TargetModules:
    """Return a model's linear modules.

    Raises:
        RecipeError: none is found.
    """
    matrices = {
        suffix.removesuffix(".weight"): entry
        for layer in model.layers
        for suffix, entry in layer.items()
        if _is_matrix(suffix, entry)
    }
    experts = any(_EXPERTS.search(suffix) for layer in model.layers for suffix in layer)
    kept = [
        module
        for module in matrices
        if not _EXPERTS.search(module) and not (experts and _ROUTER.search(module))
    ]
    if not kept:
        raise RecipeError(
            f"{model.model}: no linear modules are found in its layers", hint="Is the model quantised?"
        )
    notes = ["experts and their router are left out"] if experts else []
    names = sorted({module.rpartition(".")[2] for module in kept})
    return TargetModules(
        names=tuple(names), transposed=any(map(stored_transposed, model.layers)), notes=tuple(notes)
    )


def _is_matrix(suffix: str, entry: TensorEntry) -> bool:
    module = suffix.removesuffix(".weight")
    last = module.rpartition(".")[2]
    return (
        module != suffix
        and len(entry.shape) == MATRIX
        and entry.dtype.is_plain_float
        and not _NOT_LINEAR.search(last)
    )
