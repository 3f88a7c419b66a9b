"""One host of a test's Ray cluster: what runs on it, and ways to hurt it."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.support import host_processes
from tests.support.host_processes import Process

_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A simulated host.

    `node_id` is Ray's name for it; `session` and `mark` are what its processes
    have in common (see host_processes).
    """

    name: str
    node_id: str
    raylet_pid: int
    session: int
    mark: str
    temp_dir: Path

    def processes(self) -> list[Process]:
        """Return everything that runs on this host: raylet, agents, workers; on the head also job drivers."""
        return host_processes.processes(sessions={self.session}, mark=self.mark)

    def worker_pids(self, title: str = "") -> list[int]:
        """Return the pids of this node's workers, on request those that show `title`, such as `ray::TASK`."""
        return [
            process.pid
            for process in self.processes()
            if process.parent == self.raylet_pid and _is_worker(process) and title in process.title
        ]

    def kill_worker(self, title: str = "") -> int | None:
        """Kill one worker and return its pid, or nothing where there's none."""
        pids = self.worker_pids(title)
        host_processes.send(pids[:1], signal.SIGKILL)
        return pids[0] if pids else None

    def kill_raylet(self) -> None:
        """Kill the raylet alone; its workers notice within 3 s and write on until then."""
        host_processes.send([self.raylet_pid], signal.SIGKILL)

    def kill_gcs(self) -> None:
        """Kill the cluster's control service, which the head holds."""
        pids = [process.pid for process in self.processes() if program(process) == "gcs_server"]
        host_processes.send(pids, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all processes of this host, as if it hung."""
        host_processes.send([process.pid for process in self.processes()], signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen host go on."""
        host_processes.send([process.pid for process in self.processes()], signal.SIGCONT)


def program(process: Process) -> str:
    """Return the file name of the program that a process runs."""
    return Path(process.title.partition(" ")[0]).name


def argument(process: Process, name: str) -> str:
    """Return what stands behind `--NAME=` on a process's command line."""
    found = re.search(rf"--{name}=(\S+)", process.title)
    if found is None:
        raise ValueError(f"no --{name} in the command line of process {process.pid}")
    return found[1]


def _is_worker(process: Process) -> bool:
    """Whether a raylet's child is a worker: the two agents give themselves these titles."""
    return process.title.startswith("ray::") and not process.title.startswith(_AGENTS)
