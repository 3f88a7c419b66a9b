"""Output tensors that an adapter changes: copied from it, or a source's tensor with something added.

Everything is rounded once, from float64 to the dtype that is stored; mergekit and PEFT round the delta and
then the sum. Rejected: scaling or blending such a tensor in the same step, which would take an operation
for each combination; the merged model can be written first and used as any other.
"""

from collections.abc import Callable

from distexpand.errors import RecipeError
from distexpand.formats.catalog import TensorEntry
from distexpand.formats.dtypes import DType
from distexpand.planning.adapters.adapter import Change, LowRank, ScaledVector
from distexpand.planning.operations import AddLowRank, Blend, Term
from distexpand.planning.tensors import (
    Casting,
    OutputTensor,
    SourceNumber,
    WeightedEntry,
    passthrough_tensor,
    zero_tensor,
)

BAKE_FIRST = (
    "Merge the adapter into its model first (distexpand adapter bake), and use the result as the source."
)


def adapted_tensor(
    name: str, source: WeightedEntry, change: Change, casting: Casting, number: SourceNumber
) -> OutputTensor:
    """Return a tensor as an adapter changes it.

    Args:
        name: in the output.
        source: the model's tensor.
        change: what becomes of it.
        casting: the recipe's dtypes.
        number: of a model's or adapter's file.

    Raises:
        RecipeError: it would have to be scaled as well.
    """
    if source.value == 0:
        return zero_tensor(name, source, casting)
    if source.value != 1:
        raise RecipeError(
            f"{source.model}+{change.adapter}: tensor {source.entry.name!r} is changed by the adapter "
            f"and has the scale {source.value:g}; both can't be done at once",
            hint=BAKE_FIRST,
        )
    adapter = str(change.adapter)
    base, model = (source.entry, source.model) if change.replaced is None else (change.replaced, adapter)
    _, target = casting.resolve(source.entry, source.model)
    if change.added is None:
        replacement = WeightedEntry(model=model, entry=base, value=1.0)
        return passthrough_tensor(name, replacement, Casting(dtype=None, out_dtype=target), number)

    def own(entry: TensorEntry) -> Term:
        return _term(entry, adapter, number)

    term = _term(base, model, number)
    operation = (
        _low_rank(change.added, term, base, target, own)
        if isinstance(change.added, LowRank)
        else _vector(change.added, term, base, target, own)
    )
    return OutputTensor(name=name, dtype=target, shape=base.shape, operation=operation)


def _term(entry: TensorEntry, model: str, number: SourceNumber) -> Term:
    return Term(source=number(model, entry.file), source_offset=entry.offset, dtype=entry.dtype)


def _low_rank(
    added: LowRank, term: Term, base: TensorEntry, target: DType, own: Callable[[TensorEntry], Term]
) -> AddLowRank:
    rows, columns = base.shape
    return AddLowRank(
        offset=0,
        length=base.parameters * target.bits // 8,
        term=term,
        a=own(added.a),
        b=own(added.b),
        rows=rows,
        columns=columns,
        rank=added.rank,
        scaling=added.scaling,
        target=target,
        transposed=added.transposed,
        magnitude=None if added.magnitude is None else own(added.magnitude),
    )


def _vector(
    added: ScaledVector, term: Term, base: TensorEntry, target: DType, own: Callable[[TensorEntry], Term]
) -> Blend:
    return Blend(
        offset=0,
        length=base.parameters * target.bits // 8,
        terms=(term, own(added.entry)),
        weights=(1.0, added.scaling),
        normalize=False,
        compute=DType.F64,
        target=target,
    )
