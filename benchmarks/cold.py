"""Starting from cold: nothing of an earlier run is left, neither its output nor what it read.

Dropping the page cache takes root. Without it the sources' own pages are given up, which the
system may refuse while a page is dirty or in use elsewhere.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

_DROP = Path("/proc/sys/vm/drop_caches")


def start_cold(output: Path, sources: Sequence[Path]) -> None:
    """Remove an output and forget what is cached, of all files or else of those of the sources."""
    shutil.rmtree(output, ignore_errors=True)
    os.sync()
    try:
        _DROP.write_text("3\n")
    except OSError:
        for source in sources:
            _forget(source)


def way() -> str:
    """Return in words how the cache is emptied here; it isn't emptied by asking."""
    try:
        os.close(os.open(_DROP, os.O_WRONLY))
    except OSError:
        return "Before each run the pages of the sources were given up by posix_fadvise: no root here."
    return "Before each run the whole page cache was dropped."


def _forget(source: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
