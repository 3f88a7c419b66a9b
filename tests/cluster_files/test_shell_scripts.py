"""Every shell script of the repository, by shellcheck."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster_files import manifests

_ELSEWHERE = {".git", ".venv", "node_modules", "demo-output"}


def is_script(path: Path) -> bool:
    """Tell whether a file begins as a shell script does."""
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.split()[-1].rsplit(b"/", 1)[-1] in {b"sh", b"bash"}


def scripts() -> list[Path]:
    """Return the shell scripts outside of what tools have put into the repository's folder."""
    folders = [path for path in manifests.ROOT.iterdir() if path.is_dir() and path.name not in _ELSEWHERE]
    files = [path for folder in folders for path in folder.rglob("*")]
    return sorted(path for path in files if path.is_file() and "cache" not in str(path) and is_script(path))


def shellcheck() -> str:
    """Return the program, that of this environment first."""
    path = f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}"
    found = shutil.which("shellcheck", path=path) or shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck isn't installed")
    return found


def test_the_known_scripts_are_among_them() -> None:
    found = {str(path.relative_to(manifests.ROOT)) for path in scripts()}
    known = {
        ".ci/run",
        "cluster/slurm/batch.sbatch",
        "cluster/slurm/ray-node.sh",
        "cluster/kuberay/run-batch.sh",
    }
    assert known <= found


def test_shellcheck_finds_nothing() -> None:
    files = [str(path) for path in scripts()]
    command = [shellcheck(), "--external-sources", f"--source-path={manifests.ROOT}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=manifests.ROOT)
    assert done.returncode == 0, done.stdout
