"""torch, transformers and accelerate: whether they are here, and how to have them quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from distexpand.errors import MissingDependencyError, UsageError

_NEEDED = ("torch", "numpy", "transformers", "accelerate", "safetensors")


def require_running() -> None:
    """Make sure that a model can be run here, without importing anything.

    Raises:
        MissingDependencyError: names what is missing and the command that installs it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"running a model needs {', '.join(missing)}, not installed here",
            hint="Install it with: pip install 'distexpand[load]'",
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep messages and bars of transformers off the screen for a while."""
    from transformers.utils import logging  # noqa: PLC0415  # takes seconds

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def usable_device(name: str) -> str:
    """Return a device's name, if torch can use it here.

    Raises:
        UsageError: it can't.
    """
    import torch  # noqa: PLC0415  # takes seconds

    if not isinstance(name, str):
        raise UsageError(f"device {name!r}: expected its name, as torch has it, such as `cpu` or `cuda:0`")
    try:
        torch.zeros(1, device=name)
    except Exception as error:  # noqa: BLE001  # another kind for every backend
        raise UsageError(
            f"device {name!r}: torch can't use it here: {words(error)}",
            hint="The processor is `cpu`, which is taken where nothing is said.",
        ) from None
    return name


def words(error: Exception) -> str:
    """Return a library's error in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
