"""Which classes put which facts to the test: each fact whose absence would change what is made of a class."""

from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

from distexpand.architecture.residual import identity as residual
from distexpand.architecture.residual.fact import Fact
from distexpand.architecture.residual.facts import FACTS
from distexpand.architecture.residual.identity import identity_values
from distexpand.errors import ArchitectureError
from tests.architecture.layer_names import LayerKind


def outcome(kind: LayerKind) -> Mapping[str, float] | str:
    """Return what an identity of these layers needs, or why there is none."""
    try:
        return identity_values(kind.dtypes, kind.config, origin="layer")
    except ArchitectureError as error:
        return error.message


def without(fact: Fact) -> Any:
    """Take a fact out of the table for a while."""
    left = residual.facts_by_name(other for other in FACTS if other is not fact)
    return patch.object(residual, "FACTS_BY_NAME", left)


def changed_by(fact: Fact, classes: Mapping[str, Sequence[LayerKind]]) -> list[str]:
    """Return the classes that would come out otherwise without a fact."""
    named = fact.name.rpartition(".")[2]
    touched = {
        name: kinds
        for name, kinds in classes.items()
        if any(named in suffix for kind in kinds for suffix in kind.dtypes) or named == "N"
    }
    before = {name: [outcome(kind) for kind in kinds] for name, kinds in touched.items()}
    with without(fact):
        return [name for name, kinds in touched.items() if [outcome(kind) for kind in kinds] != before[name]]
