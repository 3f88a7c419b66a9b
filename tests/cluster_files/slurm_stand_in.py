"""A stand-in for Slurm: programs on PATH that do on this machine what Slurm's would do on two nodes.

`srun` starts its command once per node, tells each its number, hands TERM on and
waits, as Slurm's does for a step; `scontrol` lists the nodes and notes what is
queued again. The script under test is the real one, and on request so is Ray.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import free_ports, host_processes

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "cluster" / "slurm"

_SRUN = """#!/bin/bash
shift  # --kill-on-bad-exit=1
children=()
trap 'kill -TERM "${children[@]}" 2>/dev/null' TERM
for node in 0 1; do
  SLURM_NODEID=$node "$@" & children+=($!)
done
for child in "${children[@]}"; do
  while kill -0 "$child" 2>/dev/null; do wait "$child"; done
done
"""

_SCONTROL = """#!/bin/bash
case $1 in
  show) printf '127.0.0.1\\n127.0.0.1\\n' ;;
  requeue) echo "$2" >>"$STAND_IN/requeued" ;;
esac
"""

# Listens, so that the script sees a head, and says how it was called.
_RAY = """#!{python}
import os, signal, socket, sys, time
with open(os.environ["STAND_IN"] + "/ray", "a") as log:
    print(*sys.argv[1:], file=log)
listening = ("--port=", "--dashboard-port=")
named = [argument.split("=")[1] for argument in sys.argv if argument.startswith(listening)]
servers = [socket.create_server(("127.0.0.1", int(port))) for port in named]
signal.sigwait([signal.SIGTERM])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Two nodes that aren't; `directory` is where the job was submitted, `programs` goes first on PATH."""

    directory: Path
    programs: Path
    job: int
    scripts: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm gives to the script; the rest is this process's own."""
        path = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "STAND_IN": str(self.directory),
            host_processes.MARK: self.mark,
            "SLURM_JOB_ID": str(self.job),
            "SLURM_JOB_NODELIST": "node[0-1]",
            "SLURM_SUBMIT_DIR": str(self.directory),
            "SLURM_CPUS_ON_NODE": "1",
            "DISTEXPAND_SLURM": str(SLURM),
        }

    @property
    def mark(self) -> str:
        """What the job's processes are known by."""
        return f"slurm-{self.job}."

    @property
    def requeued(self) -> list[str]:
        """The jobs that were queued again."""
        noted = self.directory / "requeued"
        return noted.read_text().split() if noted.exists() else []

    @property
    def token_file(self) -> Path:
        """Where the nodes find their token."""
        return self.directory / f".ray-token-{self.job}"

    def program(self, name: str, text: str) -> None:
        """Put a program on the allocation's PATH."""
        file = self.programs / name
        file.write_text(text)
        file.chmod(0o755)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the script as Slurm does: a copy of it, on the first node."""
        copy = self.directory / "slurm_script"
        copy.write_bytes((SLURM / "batch.sbatch").read_bytes())
        script = subprocess.Popen(
            ["bash", str(copy), *arguments],
            env=self.environment | dict(environment or {}),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.scripts.append(script)
        return script

    def processes(self) -> list[host_processes.Process]:
        """Return the job's processes."""
        return host_processes.processes(sessions={script.pid for script in self.scripts}, mark=self.mark)

    def left_behind(self) -> list[str]:
        """Return what there still is of the job: processes, directories of its nodes, the token."""
        mine = self.processes()
        homes = [str(path) for path in Path("/tmp").glob(f"dx-{self.job}-*")]
        tokens = [str(self.token_file)] if self.token_file.exists() else []
        return [process.title for process in mine] + homes + tokens

    def clear(self) -> None:
        """Leave nothing of the job, however its test ended."""
        host_processes.kill_all(sessions={script.pid for script in self.scripts}, mark=self.mark)
        for script in self.scripts:
            script.communicate()
        for home in Path("/tmp").glob(f"dx-{self.job}-*"):
            shutil.rmtree(home)


def free_job() -> int:
    """Return a job's number whose ports nobody listens on: tests run side by side."""
    while True:
        job = random.randrange(10**7)
        if all(free_ports.is_free(20_000 + 4 * (job % 2500) + number) for number in range(3)):
            return job


def allocation(directory: Path, *, real_ray: bool, job: int | None = None) -> Allocation:
    """Return an allocation whose Ray is the real one, or only listens."""
    programs = directory / "bin"
    programs.mkdir(parents=True)
    made = Allocation(directory=directory, programs=programs, job=job or free_job())
    made.program("srun", _SRUN)
    made.program("scontrol", _SCONTROL)
    if not real_ray:
        made.program("sleep", "#!/bin/sh\nexec /bin/sleep 0.2\n")
        made.program("ray", _RAY.replace("{python}", sys.executable))
    return made
