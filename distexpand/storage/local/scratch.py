"""Where a shard lies until it is sent to a place that takes only whole files."""

import os
import tempfile
from pathlib import Path

_LARGE_FILES = Path("/var/tmp")  # noqa: S108  # only a folder of a random name in it is used
"""Where a disk is to be expected: the usual folder for temporary files is memory on many systems."""


def is_streamed(scheme: str) -> bool:
    """Whether outputs in that kind of place need no disk here."""
    return scheme == "s3"


def scratch_place() -> Path:
    """Return the folder for large temporary files: TMPDIR if it is set."""
    chosen = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    if not chosen and os.access(_LARGE_FILES, os.W_OK):
        return _LARGE_FILES
    return Path(tempfile.gettempdir())
