"""SmolLM2-135M for tests: the demonstration's own checkpoint, made once per cache."""

import hashlib
from pathlib import Path

from distexpand.demo import gguf_source, model, model_files

_MAKERS = (gguf_source, model, model_files)


def smollm2_checkpoint(cache: Path) -> Path:
    """Return the checkpoint's directory under `cache`, making it on first use.

    The name holds a digest of the code that makes it, so that no test looks at what older code
    made. Safe to call from several processes: it gets its name in one rename, when whole.
    Callers only read it.
    """
    code = b"".join(Path(module.__file__ or "").read_bytes() for module in _MAKERS)
    return model.prepare_model(cache / f"smollm2-135m-{hashlib.sha256(code).hexdigest()[:12]}")
