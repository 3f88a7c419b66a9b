"""What the pieces of an adapter for one tensor make of it, once each is known to be complete and to fit.

How a matrix is stored, as (outputs, inputs) or the other way as in GPT-2, follows from its shape. For
a square one the matrices beside it tell, whose biases are as long as their outputs; PEFT's
`fan_in_fan_out` is asked last, since PEFT overwrites it with what the last module of an adapter wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Adapter, Change, LowRank, ScaledVector
from distexpand.planning.adapters.matrix_layout import MATRIX, stored_transposed
from distexpand.planning.adapters.names import Role
from distexpand.planning.sources import Tensors

_FACTOR_DTYPES = {DType.F16, DType.BF16, DType.F32}
_MATRICES = (Role.A, Role.B)
_EMBEDDING = (Role.EMBEDDING_A, Role.EMBEDDING_B)
_RESIZED = (
    "If tokens were added: load the model with transformers, call resize_token_embeddings, save it, "
    "and use that as the model."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A tensor of an adapter, and the module that it is for."""

    module: str
    entry: TensorEntry


def change_of(adapter: Adapter, found: Mapping[Role, Piece], base: TensorEntry, side: Tensors) -> Change:
    """Return what the pieces for one tensor make of it.

    Args:
        adapter: where they come from.
        found: all pieces for this tensor.
        base: the tensor in the model.
        side: the tensors beside it, those of its layer or outside of all.

    Raises:
        RecipeError: a piece is missing, of a wrong shape, or of no use.
    """
    replaced = found.get(Role.REPLACED)
    if replaced is not None:
        _check_replacement(adapter, replaced.entry, base)
    added = _added(adapter, found, base, side)
    if added is not None and not base.dtype.is_plain_float:
        raise RecipeError(
            f"{adapter.adapter}: changes {base.name!r}, which is {base.dtype.value}; "
            "a delta can be added to plain floats only",
            hint="Use the model as it was before it was quantised.",
        )
    return Change(adapter=adapter.adapter, replaced=None if replaced is None else replaced.entry, added=added)


def _added(
    adapter: Adapter, found: Mapping[Role, Piece], base: TensorEntry, side: Tensors
) -> LowRank | ScaledVector | None:
    """Return what is added, of all pieces but one that replaces the tensor."""
    roles = found.keys() - {Role.REPLACED}
    if not roles:
        return None
    if roles == {Role.BIAS}:
        return _vector(adapter, found[Role.BIAS], base)
    halves = _EMBEDDING if roles & set(_EMBEDDING) else _MATRICES
    strange = sorted(roles - {*halves, Role.MAGNITUDE}, key=lambda role: role.value)
    if strange:
        raise RecipeError(
            f"{adapter.adapter}: tensor {found[strange[0]].entry.name!r} doesn't go with the others for "
            f"{base.name!r}",
            hint="Is it whole? Download or save the adapter again.",
        )
    a, b = (_half(adapter, found, role) for role in halves)
    return _low_rank(adapter, (a, b), found.get(Role.MAGNITUDE), base, side, embedding=halves is _EMBEDDING)


def _check_replacement(adapter: Adapter, entry: TensorEntry, base: TensorEntry) -> None:
    _check_shape(adapter, entry, base.shape)
    if entry.dtype != base.dtype and not (entry.dtype.is_plain_float and base.dtype.is_plain_float):
        raise RecipeError(
            f"{adapter.adapter}: tensor {entry.name!r} is {entry.dtype.value}, "
            f"but {base.name!r} in the model {base.dtype.value}",
            hint="Is it an adapter of this model?",
        )


def _vector(adapter: Adapter, piece: Piece, base: TensorEntry) -> ScaledVector:
    _check_factor(adapter, piece.entry)
    _check_shape(adapter, piece.entry, base.shape)
    return ScaledVector(entry=piece.entry, scaling=adapter.settings.scaling_of(piece.module))


def _low_rank(
    adapter: Adapter,
    halves: tuple[Piece, Piece],
    magnitude: Piece | None,
    base: TensorEntry,
    side: Tensors,
    *,
    embedding: bool,
) -> LowRank:
    a, b = halves
    rank = adapter.settings.rank_of(a.module)
    _check_matrices(adapter, a.entry, b.entry, rank)
    inputs, outputs = a.entry.shape[1], b.entry.shape[0]
    transposed = _is_transposed(adapter, base, (outputs, inputs), side, embedding=embedding)
    expected = (inputs, outputs) if transposed else (outputs, inputs)
    if base.shape != expected:
        _check_vocabulary(adapter, a.entry, base, embedding=embedding)
        raise RecipeError(
            f"{adapter.adapter}: {a.entry.name!r} and {b.entry.name!r} are for a matrix of "
            f"{outputs} outputs and {inputs} inputs, but {base.name!r} is {list(base.shape)}",
            hint="Is it an adapter of this model?",
        )
    return LowRank(
        a=a.entry,
        b=b.entry,
        rank=rank,
        scaling=adapter.settings.scaling_of(a.module),
        transposed=transposed,
        magnitude=_magnitude(adapter, magnitude, a.module, outputs, transposed=transposed),
    )


def _half(adapter: Adapter, found: Mapping[Role, Piece], role: Role) -> Piece:
    if role not in found:
        other = next(iter(found.values()))
        raise RecipeError(
            f"{adapter.adapter}: has {other.entry.name!r}, but no {role.value!r} for {other.module!r}",
            hint="The file is incomplete; save the adapter again.",
        )
    return found[role]


def _check_matrices(adapter: Adapter, a: TensorEntry, b: TensorEntry, rank: int) -> None:
    for entry, axis in ((a, 0), (b, 1)):
        _check_factor(adapter, entry)
        if len(entry.shape) != MATRIX or entry.shape[axis] != rank or 0 in entry.shape:
            raise RecipeError(
                f"{adapter.adapter}: tensor {entry.name!r} is {list(entry.shape)}; "
                f"by the adapter's config its rank is {rank}",
                hint="Only matrices of linear layers and embeddings can be merged.",
            )


def _check_factor(adapter: Adapter, entry: TensorEntry) -> None:
    if entry.dtype not in _FACTOR_DTYPES:
        names = ", ".join(sorted(dtype.value for dtype in _FACTOR_DTYPES))
        raise RecipeError(
            f"{adapter.adapter}: tensor {entry.name!r} is {entry.dtype.value}; expected {names}"
        )


def _is_transposed(
    adapter: Adapter, base: TensorEntry, shape: tuple[int, int], side: Tensors, *, embedding: bool
) -> bool:
    """Return whether a tensor is stored as (inputs, outputs), `shape` being (outputs, inputs)."""
    if embedding or base.shape not in {shape, shape[::-1]}:
        return embedding
    if shape[0] != shape[1]:
        return base.shape != shape
    told = stored_transposed(side)
    return adapter.settings.fan_in_fan_out if told is None else told


def _magnitude(
    adapter: Adapter, piece: Piece | None, module: str, outputs: int, *, transposed: bool
) -> TensorEntry | None:
    """Return the lengths that DoRA gives the rows, if it is one."""
    if piece is None and not adapter.settings.dora:
        return None
    if piece is None or not adapter.settings.dora:
        has, lacks = ("use_dora", "magnitudes") if piece is None else (repr(piece.entry.name), "use_dora")
        raise RecipeError(
            f"{adapter.adapter}: has {has}, but no {lacks} for {module!r}",
            hint="Is it whole? Download or save the adapter again.",
        )
    if transposed:
        raise RecipeError(
            f"{adapter.adapter}: tensor {piece.entry.name!r}: DoRA is not supported for embeddings, and for "
            "matrices that are stored as (inputs, outputs)",
            hint="Merge it with PEFT's merge_and_unload first, and use the merged model.",
        )
    _check_factor(adapter, piece.entry)
    if piece.entry.shape != (outputs,):
        raise RecipeError(
            f"{adapter.adapter}: tensor {piece.entry.name!r} is {list(piece.entry.shape)}; "
            f"expected {[outputs]}"
        )
    return piece.entry


def _check_shape(adapter: Adapter, entry: TensorEntry, expected: tuple[int, ...]) -> None:
    if entry.shape != expected:
        raise RecipeError(
            f"{adapter.adapter}: tensor {entry.name!r} is {list(entry.shape)}, "
            f"but {list(expected)} in the model",
            hint=_RESIZED if len(expected) > 1 and entry.shape[1:] == expected[1:] else "",
        )


def _check_vocabulary(adapter: Adapter, a: TensorEntry, base: TensorEntry, *, embedding: bool) -> None:
    if embedding and a.shape[1] != base.shape[0]:
        raise RecipeError(
            f"{adapter.adapter}: tensor {a.name!r} is for {a.shape[1]} tokens, "
            f"but {base.name!r} has {base.shape[0]}",
            hint=_RESIZED,
        )
