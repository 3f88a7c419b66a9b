"""The names of an adapter's tensors: which module of the model they belong to, and as what.

PEFT's names are the modules' own behind `base_model.model.`, and a module's ending says what its
tensor is. Checkpoints of base classes lack the first part of these names (`h.0.` for
`transformer.h.0.`), others have one more; a name is looked up as it is first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_PREFIX = "base_model.model."


class Role(Enum):
    """What a tensor of an adapter is; the value is the ending of its name."""

    A = ".lora_A.weight"
    B = ".lora_B.weight"
    BIAS = ".lora_B.bias"
    EMBEDDING_A = ".lora_embedding_A"
    EMBEDDING_B = ".lora_embedding_B"
    MAGNITUDE = ".lora_magnitude_vector"
    REPLACED = ""


_BASE_LAYER = ".base_layer."
_BESIDE = re.compile(
    r"^(vision|visual|image|video|audio|speech)(_(model|encoder))?$|tower|projector|connector"
)
"""A part beside the language model, in which a norm is another one than that of the same name without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterName:
    """A tensor's name, read: the `module` and `role`, and the name of the model's tensor that it changes."""

    module: str
    role: Role
    target: str


def parse_adapter_name(name: str) -> AdapterName | None:
    """Read a name, or return nothing if it isn't one of PEFT's."""
    if not name.startswith(_PREFIX):
        return None
    path = name.removeprefix(_PREFIX)
    for role in Role:
        if role is not Role.REPLACED and path.endswith(role.value):
            module = path.removesuffix(role.value)
            leaf = "bias" if role is Role.BIAS else "weight"
            return AdapterName(module=module, role=role, target=f"{module}.{leaf}")
    module, _, leaf = path.rpartition(".")
    if ".lora_" in path or not module:
        return None
    return AdapterName(
        module=module.removesuffix(_BASE_LAYER[:-1]),
        role=Role.REPLACED,
        target=f"{module.removesuffix(_BASE_LAYER[:-1])}.{leaf}",
    )


def spellings(name: str, prefix: str) -> Iterator[str]:
    """Yield what a tensor may be called in a checkpoint: as in the class, without first parts, or with more.

    Args:
        name: as the adapter has it.
        prefix: of the model's layers, whose first parts may be those that are missing.
    """
    yield name
    parts = name.split(".")
    for skipped in range(1, len(parts) - 1):
        if _BESIDE.search(parts[skipped - 1]):
            break
        yield ".".join(parts[skipped:])
    leading = prefix.rstrip(".").split(".")
    yield from (".".join([*leading[:count], name]) for count in range(1, len(leading)))
