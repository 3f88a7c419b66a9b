"""Tensors that write down what is done to them instead of doing it.

transformers renames, stacks, splits and transposes what it finds on disk until
it fits its own classes (the experts of a mixture become one tensor, say). Given
these tensors in place of real ones, it tells how every parameter is made, and
a parameter can be made when its layer runs, or once for all layers that hold
the same. Rejected: its own offloading to disk, which writes all converted
weights a second time and takes no recipe; loading layer by layer, which repeats
all of the library's work for each.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch.utils._pytree import tree_leaves, tree_map

_FRESH = frozenset({"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"})
"""New tensors in another's likeness hold nothing of it: fresh weights that a class would begin with."""


class NotDeferrableError(Exception):
    """Something was done to a tensor that can't be put off."""


class Deferred(torch.Tensor):  # type: ignore[misc]  # torch has no types here
    """A tensor that is yet to be made: a leaf that somebody can read, or a step from other tensors.

    It says of itself that it is on the processor, so that it is left where it is.
    """

    like: Any
    leaf: Any
    step: "tuple[Any, tuple[Any, ...], Mapping[str, Any], int | None] | None"

    def __new__(cls, like: Any, **_: Any) -> Self:
        """Make the shell, which has no memory behind it, in the likeness of a tensor on the meta device."""
        made: Self = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001  # torch's own way to do this
            cls, like.shape, strides=like.stride(), dtype=like.dtype, device="cpu"
        )
        return made

    def __init__(self, like: Any, *, leaf: Any = None, step: Any = None) -> None:
        self.like = like
        self.leaf = leaf
        self.step = step

    def __repr__(self, **_: Any) -> str:
        return f"Deferred({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(
        cls, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation on shapes alone, and return its results with the operation written down.

        Raises:
            NotDeferrableError: it changes a tensor in place, or asks for values.
        """
        del types
        kwargs = kwargs or {}
        if operator.overloadpacket.__name__ in _FRESH:
            return operator(*tree_map(_blank, args), **kwargs)
        if operator._schema.is_mutable:  # noqa: SLF001  # what torch's own modes ask as well
            raise NotDeferrableError(f"a weight is changed in place ({operator})")
        if torch.Tag.data_dependent_output in operator.tags:
            raise NotDeferrableError(f"a weight's values are asked for ({operator})")
        shapes = operator(*tree_map(_shape, args), **_on_meta(tree_map(_shape, kwargs)))
        if isinstance(shapes, torch.Tensor):
            return cls(shapes, step=(operator, args, kwargs, None))
        return type(shapes)(
            cls(shape, step=(operator, args, kwargs, number)) for number, shape in enumerate(shapes)
        )


def _shape(value: Any) -> Any:
    if isinstance(value, Deferred):
        return value.like
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _blank(value: Any) -> Any:
    """Return memory that is shaped like a deferred tensor and never touched."""
    if isinstance(value, Deferred):
        return torch.empty_strided(value.shape, value.like.stride(), dtype=value.dtype)
    return value


def _on_meta(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: torch.device("meta") if key == "device" and value else value for key, value in kwargs.items()
    }


def make(deferred: Any, read: Callable[[Any], Any]) -> Any:
    """Return the tensor itself: read its leaves, and do what was put off."""
    if deferred.step is None:
        return read(deferred.leaf)
    operator, args, kwargs, number = deferred.step

    def made(value: Any) -> Any:
        return make(value, read) if isinstance(value, Deferred) else value

    results = operator(*tree_map(made, args), **tree_map(made, kwargs))
    return results if number is None else results[number]


class Identities:
    """Numbers deferred tensors, so that two have the same number only if they hold the same values."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, tuple[Any, int]] = {}

    def number(self, deferred: Any) -> int:
        """Return the number of a tensor, from its leaves (which are compared) and the steps from them."""
        known = self._known.get(id(deferred))
        if known is not None:
            return known[1]
        if deferred.step is None:
            key: Any = ("leaf", deferred.leaf)
        else:
            operator, args, kwargs, number = deferred.step
            key = (operator, self._plain(args), self._plain(sorted(kwargs.items())), number)
        found = self._numbers.setdefault(key, len(self._numbers))
        self._known[id(deferred)] = (deferred, found)
        return found

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Deferred):
            return ("tensor", self.number(value))
        if isinstance(value, torch.Tensor):
            return ("other", id(value))
        if isinstance(value, list | tuple):
            return tuple(map(self._plain, value))
        return (type(value), value)


def leaves(deferred: Any) -> Iterator[Any]:
    """Yield the leaves that a tensor is made of."""
    if deferred.step is None:
        yield deferred.leaf
        return
    _, args, kwargs, _ = deferred.step
    for value in tree_leaves((args, kwargs)):
        if isinstance(value, Deferred):
            yield from leaves(value)
