"""Hides packages from the processes of a test's cluster, as real clusters don't have them.

On the path of a node's processes only. A hidden package is found where a
runtime environment put it, and not in this checkout or beside Ray.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_NAMES = frozenset(os.environ.get("DISTEXPAND_TEST_HIDDEN", "").split(",")) - {""}
_PLACES = frozenset(filter(None, os.environ.get("DISTEXPAND_TEST_HIDDEN_IN", "").split(os.pathsep)))


class _Hiding:
    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        if name not in _NAMES:
            return None
        elsewhere = [entry for entry in sys.path if str(Path(entry).resolve()) not in _PLACES]
        spec = PathFinder.find_spec(name, elsewhere)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by the test)", name=name)
        return spec


if _NAMES:
    sys.meta_path.insert(0, _Hiding)  # type: ignore[arg-type]
