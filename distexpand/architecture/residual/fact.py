"""A fact about a tensor of a block: what it does to the residual stream, what an identity needs of it."""

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a tensor does in a block."""

    OUTPUT = "writes the part's result into the stream; the rest of its part lies before it"
    GAIN = "the stream itself is multiplied by it"
    SHIFT = "is added to the stream, or makes what a block hands on beside it"
    NORM = "a norm that a part reads through"
    AFTER = "a norm, gate or convolution that a part's result goes through before it is added"
    MIDDLE = "comes before a known output, outside of its part"
    NEVER = "makes an identity impossible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of the table.

    `value` is what the tensor has to be for an identity, nothing where it stays. The fact
    holds only where the layer has a tensor `beside` it and the config's `model_type` is
    `model`, if they are given. `reason` says why there can't be an identity.
    """

    name: str
    role: Role
    value: float | None = None
    beside: str = ""
    model: str = ""
    reason: str = ""


NORMALISED = "the model normalises or scales the residual stream itself"


def output(name: str) -> Fact:
    """A projection that writes into the stream."""
    return Fact(name=name, role=Role.OUTPUT, value=0.0)


def gain(name: str, *, model: str = "") -> Fact:
    """What the stream is multiplied by."""
    return Fact(name=name, role=Role.GAIN, value=1.0, model=model)


def shift(name: str, *, beside: str = "") -> Fact:
    """What has to be zero though no part ends in it."""
    return Fact(name=name, role=Role.SHIFT, value=0.0, beside=beside)


def norm(name: str, *, model: str = "") -> Fact:
    """A norm that a part reads through."""
    return Fact(name=name, role=Role.NORM, model=model)


def after(name: str) -> Fact:
    """What a part's result goes through; its bias has to be zero."""
    return Fact(name=name, role=Role.AFTER)


def middle(name: str, *, beside: str = "") -> Fact:
    """What only leads to a known output."""
    return Fact(name=name, role=Role.MIDDLE, beside=beside)


def never(name: str, reason: str = NORMALISED, *, model: str = "") -> Fact:
    """What makes an identity impossible, and why."""
    return Fact(name=name, role=Role.NEVER, reason=reason, model=model)
