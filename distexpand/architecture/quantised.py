"""Quantised weights: which tensors belong together, and which of them make their product zero.

A quantised weight is a set of tensors that mean something only together:
codes, scales, zero points. What makes it zero differs by format. Codes of zero
bytes are the value zero where a code is a number (FP8, FP4 with block scales,
symmetric integers); where a zero point is subtracted the scale has to be zero;
where a code is an index the index of zero has to be written, as the scales may
be quantised themselves and have an offset. A set of another kind is copied
like any tensor, and refused for everything else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distexpand.formats.dtypes import DType

FLOATS = frozenset({DType.F16, DType.BF16, DType.F32, DType.F64})
_FP8 = frozenset({DType.F8_E4M3, DType.F8_E5M2, DType.F8_E4M3FNUZ, DType.F8_E5M2FNUZ})
_BYTES = frozenset({DType.U8})
_WORDS = frozenset({DType.I32})
_ANY = frozenset(DType)

_NF4_ZERO = 0x77
"""Two codes of NF4's zero: its table has zero at position 7."""

BIASES = (".bias", "_bias")
PLAIN = ("", ".weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """One way to store a quantised weight.

    `leaves` maps what the names of its tensors end in to the dtypes that these have. They
    may be accompanied by `others`. The weight is zero once each of `zero` has its value.
    """

    name: str
    leaves: Mapping[str, frozenset[DType]]
    others: tuple[str, ...]
    zero: Mapping[str, float]


STORAGES: tuple[Storage, ...] = (
    Storage(
        name="FP8 with block scales",
        leaves={".weight": _FP8, ".weight_scale_inv": _ANY},
        others=(".input_scale", ".activation_scale"),
        zero={".weight": 0.0},
    ),
    Storage(
        name="FP8 with block scales, experts in one tensor",
        leaves={"": _FP8, "_scale_inv": _ANY},
        others=("_input_scale", "_activation_scale"),
        zero={"": 0.0},
    ),
    Storage(
        name="FP8",
        leaves={".weight": _FP8, ".weight_scale": _ANY},
        others=(".input_scale", ".output_scale"),
        zero={".weight": 0.0},
    ),
    Storage(
        name="FP8, experts in one tensor",
        leaves={"": _FP8, "_scale": _ANY},
        others=("_input_scale",),
        zero={"": 0.0},
    ),
    Storage(
        name="INT8",
        leaves={".weight": frozenset({DType.I8}), ".weight_scale": FLOATS},
        others=(".input_scale",),
        zero={".weight": 0.0},
    ),
    Storage(
        name="NVFP4",
        leaves={".weight": _BYTES, ".weight_scale": _FP8, ".weight_scale_2": FLOATS},
        others=(".input_scale",),
        zero={".weight": 0.0},
    ),
    Storage(
        name="packed FP4",
        leaves={".weight_packed": _BYTES, ".weight_scale": _FP8 | _BYTES},
        others=(".weight_global_scale", ".input_global_scale", ".weight_shape"),
        zero={".weight_packed": 0.0},
    ),
    Storage(
        name="packed integers",
        leaves={".weight_packed": _WORDS, ".weight_scale": FLOATS},
        others=(".weight_shape", ".weight_zero_point", ".weight_g_idx"),
        zero={".weight_scale": 0.0},
    ),
    Storage(
        name="MXFP4",
        leaves={"_blocks": _BYTES, "_scales": _BYTES},
        others=(),
        zero={"_blocks": 0.0},
    ),
    Storage(
        name="GPTQ or AWQ",
        leaves={".qweight": _WORDS, ".qzeros": _WORDS, ".scales": FLOATS},
        others=(".g_idx",),
        zero={".scales": 0.0},
    ),
    Storage(
        name="bitsandbytes NF4",
        leaves={
            ".weight": _BYTES,
            ".weight.absmax": _ANY,
            ".weight.quant_map": _ANY,
            ".weight.quant_state.bitsandbytes__nf4": _BYTES,
        },
        others=(".weight.nested_absmax", ".weight.nested_quant_map"),
        zero={".weight": _NF4_ZERO},
    ),
    Storage(
        name="bitsandbytes FP4",
        leaves={
            ".weight": _BYTES,
            ".weight.absmax": _ANY,
            ".weight.quant_map": _ANY,
            ".weight.quant_state.bitsandbytes__fp4": _BYTES,
        },
        others=(".weight.nested_absmax", ".weight.nested_quant_map"),
        zero={".weight": 0.0},
    ),
    Storage(
        name="bitsandbytes INT8",
        leaves={".weight": frozenset({DType.I8}), ".SCB": FLOATS},
        others=(".weight_format",),
        zero={".weight": 0.0},
    ),
)
"""Every known way, one a row."""

LEAVES = tuple(
    sorted(
        {*BIASES, *PLAIN, *(leaf for way in STORAGES for leaf in (*way.leaves, *way.others))},
        key=lambda leaf: (-len(leaf), leaf),
    )
)
"""What a weight's tensors may end in, longest first."""

_MARKS = tuple(
    sorted(
        {leaf for way in STORAGES for leaf in (*way.leaves, *way.others)} - set(PLAIN),
        key=lambda leaf: (-len(leaf), leaf),
    )
)
"""Endings that only quantised weights have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedSet:
    """A weight's tensors: `leaves` maps endings to full names; `storage` is nothing for an unknown kind."""

    weight: str
    leaves: Mapping[str, str]
    storage: Storage | None

    @property
    def kind(self) -> str:
        """How it is stored, in words."""
        return self.storage.name if self.storage else "in an unknown way"


def storage_of(leaves: Mapping[str, DType]) -> Storage | None:
    """Return the way in which a weight with tensors of these endings and dtypes is stored."""
    present = leaves.keys() - set(BIASES)
    for way in STORAGES:
        fits = way.leaves.keys() <= present <= way.leaves.keys() | set(way.others)
        if fits and all(leaves[leaf] in dtypes for leaf, dtypes in way.leaves.items()):
            return way
    return None


def zero_values(leaves: Mapping[str, DType]) -> Mapping[str, float] | None:
    """Return what each ending's tensor has to be for a weight of zero, bias included.

    Nothing where it isn't known how to get a zero. Endings that aren't returned stay.
    """
    biases = {leaf: 0.0 for leaf in BIASES if leaf in leaves}
    if any(leaves[leaf] not in FLOATS for leaf in biases):
        return None
    if leaves.keys() <= {*PLAIN, *BIASES}:
        plain = [leaf for leaf in PLAIN if leaf in leaves]
        known = all(leaves[leaf] in FLOATS | _FP8 for leaf in plain)
        return {**dict.fromkeys(plain, 0.0), **biases} if known else None
    way = storage_of(leaves)
    return {**way.zero, **biases} if way else None


def quantised_sets(dtypes: Mapping[str, DType]) -> Iterator[QuantisedSet]:
    """Yield the quantised weights among tensors, each found by an ending that only such weights have."""
    weights = {name[: -len(mark)] for name in dtypes if (mark := _mark(name))}
    for weight in sorted(weights):
        leaves = {leaf: weight + leaf for leaf in (*PLAIN, *_MARKS) if weight + leaf in dtypes}
        storage = storage_of({leaf: dtypes[name] for leaf, name in leaves.items()})
        if storage or any(not dtypes[name].is_plain_float for name in leaves.values()):
            yield QuantisedSet(weight=weight, leaves=leaves, storage=storage)


def _mark(name: str) -> str | None:
    return next((mark for mark in _MARKS if name.endswith(mark)), None)
