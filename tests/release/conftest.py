"""Wheel and sdist as a release has them, built once."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build("--outdir", str(folder))
    return folder


def build(*options: str) -> None:
    """Build by the tools that are installed, without a package index."""
    run([sys.executable, "-m", "build", "--no-isolation", *options, "."], cwd=ROOT)


def run(command: list[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command that has to go well, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(os.environ) if environment is None else dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def outside(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of this process's Python is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return {**kept, "HOME": str(folder), "COLUMNS": "100"}
