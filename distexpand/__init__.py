"""Make a large language model bigger: plan, stream and verify layer expansions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distexpand.models import load_virtual
    from distexpand.training import drop_new_layers, freeze_original

__all__ = ["drop_new_layers", "freeze_original", "load_virtual"]

__version__ = "0.1.0"

_HOMES = {
    "drop_new_layers": "distexpand.training",
    "freeze_original": "distexpand.training",
    "load_virtual": "distexpand.models",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: most uses of the package need none of it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
