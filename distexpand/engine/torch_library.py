"""torch, imported when it is first needed: a run of copies never pays for it."""

from functools import cache
from typing import Any

from distexpand.errors import MissingDependencyError
from distexpand.formats.dtypes import DType


@cache
def require_torch() -> Any:
    """Return torch.

    Raises:
        MissingDependencyError: torch isn't installed.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "this recipe scales, casts or blends tensors, which needs torch",
            hint="Install it with: pip install 'distexpand[torch]'",
        ) from None
    return torch


@cache
def torch_dtype(dtype: DType) -> Any:
    """Return torch's dtype of a plain float."""
    return getattr(require_torch(), dtype.torch_name or "")
