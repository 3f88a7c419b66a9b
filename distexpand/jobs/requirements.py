"""What a job's processes need beside Ray; standard library only, since it is asked before anything is there.

A test holds the list against the project's own metadata. Rejected: reading the
metadata, which a package that was sent to a cluster as files doesn't have.
"""

from importlib.util import find_spec

_MODULES = {
    "click": "click>=8.1",
    "yaml": "pyyaml>=6.0",
    "rich": "rich>=13.7",
    "xxhash": "xxhash>=3.5",
    "zstandard": "zstandard>=0.23",
}
BASE_REQUIREMENTS = tuple(_MODULES.values())


def missing_requirements() -> tuple[str, ...]:
    """Return the requirements of which nothing is installed here; versions aren't looked at."""
    return tuple(requirement for module, requirement in _MODULES.items() if not _is_here(module))


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # an import hook of the cluster's may say so by itself
        return False
