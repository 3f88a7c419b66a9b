"""Which of a model's stacks is meant: the one that a recipe names, or the usual one."""

from collections.abc import Sequence
from dataclasses import dataclass

from distexpand.architecture.stacks.counts import Count
from distexpand.architecture.stacks.places import is_encoder, rank, side_kinds
from distexpand.closeness import did_you_mean
from distexpand.errors import ArchitectureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run that a count speaks of; see `LayerStack` for the rest."""

    prefix: str
    length: int
    count: Count
    score: int
    tensors: int
    also_counted: tuple[tuple[str, ...], ...] = ()
    companions: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


def choose(found: Sequence[Found], wanted: str, *, origin: str) -> Found:
    """Return the stack that is wanted, the first where nothing is.

    Raises:
        ArchitectureError: none or several are what is wanted, or it can't be expanded alone.
    """
    prefixes = [stack.prefix for stack in found]
    known = ", ".join(prefix.rstrip(".") for prefix in prefixes)
    if wanted:
        chosen = _named(found, wanted)
    else:
        first = rank(found[0].prefix, prefixes)
        chosen = [stack for stack in found if rank(stack.prefix, prefixes) == first]
    if not chosen:
        raise ArchitectureError(
            f"{origin}: the model has no stack of layers {wanted!r}; it has {known}",
            hint=did_you_mean(wanted.strip("."), (prefix.rstrip(".") for prefix in prefixes))
            or "Name it by the part of the tensors' names before the layer's number.",
        )
    if len(chosen) > 1:
        several = " and ".join(stack.prefix for stack in chosen)
        raise ArchitectureError(
            f"{origin}: the model has several stacks of layers, {several}, "
            "and it isn't clear which to expand",
            hint=f"Name one as `stack: {prefixes[0].rstrip('.')}`, or give each its slices under `modules:`.",
        )
    _check_own_count(chosen[0], found, origin)
    return chosen[0]


def _named(found: Sequence[Found], wanted: str) -> list[Found]:
    name = wanted.strip(".")
    exact = [stack for stack in found if stack.prefix.rstrip(".") == name]
    if exact:
        return exact
    inside = [stack for stack in found if f".{name}." in f".{stack.prefix}"]
    return inside or _by_role(found, name)


def _by_role(found: Sequence[Found], name: str) -> list[Found]:
    """Return what a plain word such as mergekit's `text_decoder` speaks of."""
    prefixes = [stack.prefix for stack in found]
    first = [stack for stack in found if rank(stack.prefix, prefixes) == 0]
    if name in {"default", "text", "text_decoder", "text_model", "language_model", "decoder"}:
        return first
    kinds = side_kinds(name)
    if kinds:
        return [stack for stack in found if kinds & side_kinds(stack.prefix)]
    return [stack for stack in found if is_encoder(stack.prefix)] if is_encoder(name) else []


def _check_own_count(chosen: Found, found: Sequence[Found], origin: str) -> None:
    for other in found:
        if other.prefix != chosen.prefix and other.count.path == chosen.count.path:
            raise ArchitectureError(
                f"{origin}: config.json: {'.'.join(chosen.count.path)!r} counts the layers of both "
                f"{chosen.prefix} and {other.prefix}, so that they can't differ in number",
                hint="Give both the same number of layers, under `modules:`.",
            )
