"""Hosts that see other files than the rest: nodes in a mount namespace of their own."""

import os
import shutil
import stat
import subprocess
import sysconfig
from pathlib import Path

import pytest

_VARIABLE = "DISTEXPAND_TEST_MOUNTS"


def require_mounts() -> None:
    """Skip the test where this process can't make mounts that nobody else sees."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1), to give nodes mounts of their own")
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("needs the right to mount, to give nodes mounts of their own")


def ray_in_a_namespace(directory: Path) -> Path:
    """Write a `ray` command that runs a node's `MOUNTS` before the node itself."""
    ray = Path(sysconfig.get_path("scripts")) / "ray"
    inner = f'eval "${_VARIABLE}"; exec {ray} "$@"'
    command = directory / "ray"
    command.write_text(
        "#!/bin/sh\n"
        f'[ -z "${_VARIABLE}" ] && exec {ray} "$@"\n'
        f"exec unshare --mount --propagation private sh -ec '{inner}' ray \"$@\"\n"
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return command


def mounting(*commands: str) -> dict[str, str]:
    """Return the variables of a node that sees what these shell commands mount."""
    return {_VARIABLE: "\n".join(commands)}
