"""The dtypes of the safetensors format and their names elsewhere.

Sizes are in bits because the format has packed types of 4 and 6 bits.
Source: the `Dtype` enumeration of the safetensors format.
"""

from collections.abc import Iterable
from enum import Enum


class DType(Enum):
    """A safetensors dtype; the value is its name in a header."""

    BOOL = "BOOL"
    U8 = "U8"
    I8 = "I8"
    U16 = "U16"
    I16 = "I16"
    U32 = "U32"
    I32 = "I32"
    U64 = "U64"
    I64 = "I64"
    F4 = "F4"
    F6_E2M3 = "F6_E2M3"
    F6_E3M2 = "F6_E3M2"
    F8_E4M3 = "F8_E4M3"
    F8_E5M2 = "F8_E5M2"
    F8_E8M0 = "F8_E8M0"
    F8_E4M3FNUZ = "F8_E4M3FNUZ"
    F8_E5M2FNUZ = "F8_E5M2FNUZ"
    F16 = "F16"
    BF16 = "BF16"
    F32 = "F32"
    F64 = "F64"
    C64 = "C64"

    __hash__ = object.__hash__
    """Members are the only ones of their kind; the enumeration's own hash is that of the name, in Python."""

    @property
    def bits(self) -> int:
        """Size of one element in bits."""
        return _BITS[self]

    @property
    def torch_name(self) -> str | None:
        """Name used by torch, in configs and in recipes, for the plain floating dtypes."""
        return _TORCH_NAMES.get(self)

    @property
    def is_plain_float(self) -> bool:
        """Whether arithmetic on the values alone is meaningful (no packed or scaled formats)."""
        return self in _TORCH_NAMES

    @property
    def is_scaled_float(self) -> bool:
        """Whether the values mean nothing without scales that are kept elsewhere (8 bits and fewer)."""
        return self.value.startswith("F") and not self.is_plain_float


_BITS = {
    DType.F4: 4,
    DType.F6_E2M3: 6,
    DType.F6_E3M2: 6,
    DType.BOOL: 8,
    DType.U8: 8,
    DType.I8: 8,
    DType.F8_E4M3: 8,
    DType.F8_E5M2: 8,
    DType.F8_E8M0: 8,
    DType.F8_E4M3FNUZ: 8,
    DType.F8_E5M2FNUZ: 8,
    DType.U16: 16,
    DType.I16: 16,
    DType.F16: 16,
    DType.BF16: 16,
    DType.U32: 32,
    DType.I32: 32,
    DType.F32: 32,
    DType.U64: 64,
    DType.I64: 64,
    DType.F64: 64,
    DType.C64: 64,
}

_TORCH_NAMES = {
    DType.F16: "float16",
    DType.BF16: "bfloat16",
    DType.F32: "float32",
    DType.F64: "float64",
}

_BY_TORCH_NAME = {name: dtype for dtype, name in _TORCH_NAMES.items()}
_BY_NAME = {dtype.value: dtype for dtype in DType}


def dtype_named(name: object) -> DType | None:
    """Return the dtype that a header calls so, nothing for any other value."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def float_dtype(name: str) -> DType | None:
    """Return the floating dtype that a recipe or config means by `name` (`bfloat16`, `torch.float16`)."""
    return _BY_TORCH_NAME.get(name.removeprefix("torch."))


def float_dtype_names() -> tuple[str, ...]:
    """Return the dtype names that a recipe may use."""
    return tuple(sorted(_BY_TORCH_NAME))


def promoted(dtypes: Iterable[DType]) -> DType:
    """Return the smallest plain float that holds every value of some plain floats, as torch promotes them.

    Neither 16-bit float holds the other's values, so that together they become float32.
    """
    first, *others = set(dtypes)
    if not others:
        return first
    return DType.F64 if DType.F64 in {first, *others} else DType.F32
