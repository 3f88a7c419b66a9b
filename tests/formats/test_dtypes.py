"""What is known of dtypes is what torch knows of them."""

from functools import reduce
from itertools import combinations_with_replacement

import pytest

from distexpand.formats.dtypes import DType, promoted

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")

FLOATS = [dtype for dtype in DType if dtype.is_plain_float]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_plain_floats_are_promoted_as_in_torch(count: int) -> None:
    for dtypes in combinations_with_replacement(FLOATS, count):
        wanted = reduce(torch.promote_types, (getattr(torch, str(dtype.torch_name)) for dtype in dtypes))
        assert f"torch.{promoted(dtypes).torch_name}" == str(wanted), dtypes
