"""A digest of this package's own code, by which a driver and its workers tell that they run the same."""

import hashlib
from functools import cache

from distexpand.cluster.connect import package_directory


@cache
def package_digest() -> str:
    """Return the SHA-256 over names and contents of the package's modules, in hexadecimal."""
    root, digest = package_directory(), hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
