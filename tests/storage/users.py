"""Permissions as a user without privileges has them, also where tests run as root."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_NOBODY = 65534


class Unprivileged:
    """A world-accessible directory and a way to act as somebody else."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copy(self, directory: Path) -> Path:
        """Copy a directory to where that user can reach it; holes are kept."""
        target = self.root / directory.name
        target.mkdir()
        for path in directory.iterdir():
            copy = target / path.name
            copy.touch()
            os.truncate(copy, path.stat().st_size)
            with path.open("rb") as source, copy.open("r+b") as file:
                file.write(source.read(100_000))
        return target

    @contextlib.contextmanager
    def user(self) -> Iterator[None]:
        """Act as nobody, if this is root."""
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(_NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    """Return a directory open to everyone; the usual temporary ones are the owner's alone."""
    root = Path(tempfile.mkdtemp(prefix="distexpand-test-"))
    root.chmod(0o755)
    yield Unprivileged(root)
    shutil.rmtree(root)
