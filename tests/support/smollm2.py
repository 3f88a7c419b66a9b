"""SmolLM2-135M for tests: the demonstration's own checkpoint, made once per cache."""

from pathlib import Path

from distexpand.demo.model import prepare_model


def smollm2_checkpoint(cache: Path) -> Path:
    """Return the checkpoint's directory under `cache`, making it on first use.

    Safe to call from several processes: it gets its name in one rename, when whole. Callers
    only read it.
    """
    return prepare_model(cache / "smollm2-135m")
