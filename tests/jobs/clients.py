"""Calling the command line as a client of a cluster, and what it may say."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ray_cluster import ROOT, RayCluster

SECRETS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "HF_TOKEN": f"hf_{secrets.token_hex(17)}",
    "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
}
"""What the cluster's processes are given: a token that every client needs, and credentials for storage."""


def activated(directory: Path | None = None) -> dict[str, str]:
    """Let the nodes' PATH begin with an interpreter's, as in an activated environment."""
    return {"PATH": f"{directory or Path(sys.executable).parent}:{os.environ['PATH']}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Exit code and what was written."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class Client:
    """Calls `distexpand` in processes of their own; the address comes from the environment."""

    def __init__(self, cluster: RayCluster, **environment: str) -> None:
        self.cluster = cluster
        self.environment = {
            **cluster.driver_environment,
            "RAY_API_SERVER_ADDRESS": cluster.dashboard_url,
            "COLUMNS": "100",
            "PYTHONPATH": str(ROOT),
            **environment,
        }

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "distexpand", *(str(argument) for argument in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd="/",
        )

    def __call__(self, *arguments: object, seconds: float = 120) -> Said:
        return ended(self.start(*arguments), seconds=seconds)

    def jobs(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self("jobs", "list", "--json").document["jobs"]
        return listed

    def jobs_for(self, output: Path) -> list[dict[str, Any]]:
        return [job for job in self.jobs() if job["output"] == str(output)]


def ended(process: subprocess.Popen[str], *, seconds: float = 120) -> Said:
    """Wait for a client."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert "Traceback" not in err, err
    return Said(code=process.returncode, out=out, err=err)


def interrupted(process: subprocess.Popen[str], *, once: str) -> Said:
    """Interrupt a client as soon as it has written something that holds `once`."""
    assert process.stderr is not None
    before = ""
    deadline = time.monotonic() + 60
    while once not in before and time.monotonic() < deadline:
        before += process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    said = ended(process, seconds=30)
    return Said(code=said.code, out=said.out, err=before + said.err)
