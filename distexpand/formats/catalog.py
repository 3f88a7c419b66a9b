"""The catalog: every tensor of a checkpoint and where its bytes lie, without any of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from distexpand.formats.dtypes import DType


class TensorEntry(NamedTuple):
    """One tensor: row-major and contiguous, `length` bytes at `offset` of `file`.

    A tuple for the same reason as `TensorHeader`.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    file: str
    offset: int
    length: int

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One file of weights; `pin` is the SHA-256 of its header, or of its pickle for a `.bin`."""

    name: str
    size: int
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All tensors and weight files of a checkpoint; `metadata` is the first file's."""

    tensors: Mapping[str, TensorEntry]
    files: Mapping[str, WeightFile]
    metadata: Mapping[str, str]
