"""torch, and numpy beside it, imported when they are first needed: a run of copies never pays for them."""

from functools import cache
from importlib import import_module
from typing import Any

from distexpand.errors import MissingDependencyError
from distexpand.formats.dtypes import DType


@cache
def require_torch() -> Any:
    """Return torch.

    Raises:
        MissingDependencyError: torch isn't installed.
    """
    require_numpy()  # without it torch is there, but fails where its tensors are seen as arrays
    return _imported("torch")


@cache
def require_numpy() -> Any:
    """Return numpy.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    return _imported("numpy")


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingDependencyError(
            f"this recipe computes tensors, which needs {name}",
            hint="Install it with: pip install 'distexpand[torch]'",
        ) from None


@cache
def torch_dtype(dtype: DType) -> Any:
    """Return torch's dtype of a plain float."""
    return getattr(require_torch(), dtype.torch_name or "")
