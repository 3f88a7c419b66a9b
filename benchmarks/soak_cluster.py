"""A Ray cluster on simulated hosts that is broken over and over, and mended in between.

Head and nodes have a network, processes and memory limit of their own (see
`hosts.py`; Linux's first version of control groups), as containers have. Sources
are on a storage host behind each node's throttled link; the output is on a disk
that all share and that a node named `lean` can't fill to the last byte, since
the rest is reserved for the group of the others. Needs root.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.hosts import Host, Hosts, network
from benchmarks.shared_storage import mount, serve
from tests.support.ray_cluster import PLAIN, TUNED

NODES = ("one", "two", "lean")
LEAN = "lean"
DRIVER = "distexpand.jobs.entry"
"""What a driver's command line shows."""

LINK = 14e6
"""Bytes a second between a node and the storage."""

MEMORY = 2_000_000_000
DISK = 2_400_000_000
_RESERVED_PERCENT = 40
_GROUP = 4242
"""May write where only the reserve of the disk is left."""

_PORT = 6379
_START_SECONDS = 120.0
_CLONE_NEWNS = 0x20000
_MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")

_WATCH = """
import json, sys
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
for _ in sys.stdin:
    found = client.get_all_node_info(timeout=10).values()
    print(json.dumps([info.node_name for info in found if info.state == info.ALIVE]), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host with Ray on it; `label` is its name in Ray, new with every start."""

    name: str
    label: str
    host: Host
    temp_dir: Path
    memory_group: Path

    def pids(self, title: str = "") -> list[int]:
        """Return what runs here, as seen from outside, on request what shows `title` as its command."""
        namespace = Path(f"/proc/{self.host.pid}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.host.pid:
                continue
            with suppress(OSError):
                if (entry / "ns" / "pid").readlink() == namespace:
                    shown = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if shown and title in shown:
                        found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """Return the workers that have an attempt under way."""
        return self.pids("ray::distexpand:")

    def signal(self, number: signal.Signals, title: str) -> int:
        """Send a signal to what shows `title`, and return to how many processes."""
        pids = self.pids(title)
        send(pids, number)
        return len(pids)


def _killed(pids: Collection[int]) -> Collection[int]:
    send(list(pids), signal.SIGKILL)
    return pids


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass(kw_only=True)
class SoakCluster:
    """The hosts, and what is to be mended on them; made by `soak_cluster`.

    `machines` holds head and nodes by name, `hurt` the names of those that must be replaced.
    """

    hosts: Hosts
    storage: Host
    sources: Path
    disk: Path
    directory: Path
    through_links: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    hurt: set[str] = field(default_factory=set)
    _starts: int = 0
    _watch: "subprocess.Popen[str] | None" = None

    @property
    def address(self) -> str:
        """HOST:PORT of the head."""
        return f"{self.machines['head'].host.address}:{_PORT}"

    def nodes(self) -> list[Machine]:
        """Return the nodes that nothing was done to."""
        return [self.machines[name] for name in NODES if name in self.machines and name not in self.hurt]

    def start(self) -> None:
        """Start head and nodes where they aren't there or were hurt; nodes go with their head."""
        if "head" not in self.machines or "head" in self.hurt:
            self._stop_watching()
            for name in list(self.machines):
                self._remove(name)
            self._started(["head"])
            self._start_watching()
        missing = [name for name in NODES if name not in self.machines or name in self.hurt]
        for name in missing:
            self._remove(name)
        self._started(missing)
        self.hurt.clear()

    def restart_head_in_place(self) -> None:
        """Start the head again on its host, where the driver of a run may still be alive, and all nodes."""
        self._stop_watching()
        for name in NODES:
            self._remove(name)
        head = self.machines.pop("head")
        kept = set(head.pids(DRIVER))
        wait_for(lambda: not _killed(set(head.pids()) - kept), 15)
        self._wait(self._start("head", host=head.host, memory_group=head.memory_group))
        self._start_watching()
        self.start()

    def mend(self) -> None:
        """Replace what was hurt or is lost, until the control service knows exactly the nodes that are there.

        Raises:
            RuntimeError: it never does.
        """
        for _ in range(4):
            with suppress(BrokenPipeError, ValueError):
                self.start()
                if wait_for(self._is_settled, 30):
                    return
                alive = self.alive()
                self.hurt |= {name for name, machine in self.machines.items() if machine.label not in alive}
                continue
            self.hurt.add("head")
        raise RuntimeError("the cluster can't be mended")

    def _is_settled(self) -> bool:
        return sorted(self.alive()) == sorted(machine.label for machine in self.machines.values())

    def alive(self) -> list[str]:
        """Return the labels of the nodes that the control service holds for alive."""
        assert self._watch is not None
        assert self._watch.stdin is not None
        assert self._watch.stdout is not None
        self._watch.stdin.write("?\n")
        self._watch.stdin.flush()
        found: list[str] = json.loads(self._watch.stdout.readline() or "[]")
        return found

    def drive(self, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a job's driver on the head; what it says goes to `log`."""
        head = self.machines["head"]
        command = _privileged(["python", "-m", DRIVER], lean=False)
        with log.open("ab") as output, log.with_suffix(".err").open("ab") as errors:
            return head.host.start(
                command,
                env=_environment() | {"RAY_ADDRESS": self.address} | environment,
                stdout=output,
                stderr=errors,
                cwd=self.directory,
            )

    def _started(self, names: Sequence[str]) -> None:
        """Start machines at once; those that fail, as they may on a busy machine, again one by one."""
        starters = [self._start(name) for name in names]
        for name, starter in zip(names, starters, strict=True):
            try:
                self._wait(starter)
            except (RuntimeError, subprocess.TimeoutExpired):
                self._remove(name)
                self._wait(self._start(name))

    def _start(
        self, name: str, *, host: Host | None = None, memory_group: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        self._starts += 1
        label = f"{name}-{self._starts}"
        linked = self.through_links and name != "head"
        machine = Machine(
            name=name,
            label=label,
            host=host or self.hosts.add(name, rate=LINK if linked else None),
            temp_dir=self.directory / str(self._starts),
            memory_group=memory_group or _MEMORY_GROUPS / f"distexpand-soak-{os.getpid()}-{label}",
        )
        self.machines[name] = machine
        if memory_group is None:
            _limit_memory(machine)
        arguments = ["--num-cpus=0", "--head", f"--port={_PORT}", "--include-dashboard=false"]
        if linked:
            mount(machine.host, self.storage, self.sources, self.sources)
        if name != "head":
            arguments = ["--num-cpus=2", f"--address={self.address}"]
        ray = ["ray", "start", *arguments, *_common_options(machine)]
        into_group = ["sh", "-c", f'echo 0 >{_MEMORY_GROUPS}/cgroup.procs; exec "$@"', "sh"]
        with machine.temp_dir.with_suffix(".log").open("wb") as log:
            return machine.host.start(
                [*into_group, *_privileged(ray, lean=name == LEAN)],
                env=_environment() | self.variables,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )

    def _wait(self, starter: "subprocess.Popen[bytes]") -> None:
        code = starter.wait(_START_SECONDS)
        if code != 0:
            log = self.directory / f"{self._starts}.log"
            raise RuntimeError(f"ray start: exit code {code}\n{log.read_text()}")

    def _remove(self, name: str) -> None:
        machine = self.machines.pop(name, None)
        if machine is not None:
            machine.host.kill()
            _forget_memory(machine)

    def _start_watching(self) -> None:
        command = self.machines["head"].host.command(["python", "-c", _WATCH, self.address])
        self._watch = subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()

    def close(self) -> None:
        """End everything on all hosts."""
        self._stop_watching()
        for name in list(self.machines):
            self._remove(name)


@contextmanager
def soak_cluster(
    work: Path, sources: Path, *, through_links: bool = True, variables: Mapping[str, str] | None = None
) -> Iterator[SoakCluster]:
    """Start a cluster; at the end, also after an error, nothing of it is left.

    Args:
        work: where the image of the output's disk is made.
        sources: a directory.
        through_links: whether nodes see the sources through their links, or as this machine does.
        variables: more of the nodes' environment.
    """
    _own_mounts()
    disk = _shared_disk(work)
    # Short, as paths of sockets are.
    directory = Path(tempfile.mkdtemp(prefix="dxs", dir="/tmp"))
    try:
        with network() as hosts:
            storage = hosts.add("storage")
            serve(storage)
            cluster = SoakCluster(
                hosts=hosts,
                storage=storage,
                sources=sources,
                disk=disk,
                directory=directory,
                through_links=through_links,
                variables=variables or {},
            )
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run(["umount", "--lazy", disk], check=False)


def wait_for(condition: Callable[[], bool], seconds: float, *, pause: float = 0.1) -> bool:
    """Look until the condition holds, and say whether it did within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def _own_mounts() -> None:
    """Give this process mounts of its own, which vanish with it."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "can't make a mount namespace: this needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _shared_disk(work: Path) -> Path:
    image, disk = work / "disk.img", work / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK)
    reserve = ["-m", str(_RESERVED_PERCENT)]
    subprocess.run(["mkfs.ext4", "-q", *reserve, image], check=True)
    owners = f"loop,resuid=65534,resgid={_GROUP}"
    subprocess.run(["mount", "-o", owners, image, disk], check=True)
    return disk


def _limit_memory(machine: Machine) -> None:
    """Give a host a memory limit that Ray sees as it does in a container."""
    machine.memory_group.mkdir()
    (machine.memory_group / "memory.limit_in_bytes").write_text(str(MEMORY))
    machine.host.run(["mount", "--bind", machine.memory_group, _MEMORY_GROUPS])


def _forget_memory(machine: Machine) -> None:
    def removed() -> bool:
        with suppress(OSError):
            machine.memory_group.rmdir()
        return not machine.memory_group.exists()

    wait_for(removed, 10)


def _privileged(command: Sequence[Any], *, lean: bool) -> list[str]:
    """Return the command with or without the right to the disk's reserve."""
    if lean:
        return ["setpriv", "--clear-groups", "--bounding-set=-sys_resource", *map(str, command)]
    return ["setpriv", f"--groups={_GROUP}", *map(str, command)]


def _common_options(machine: Machine) -> list[str]:
    return [
        f"--node-ip-address={machine.host.address}",
        f"--node-name={machine.label}",
        f"--temp-dir={machine.temp_dir}",
        "--object-store-memory=80000000",
        "--include-log-monitor=false",
        "--disable-usage-stats",
    ]


def _environment() -> dict[str, str]:
    foreign = re.compile("RAY_|PYTHON|COV_|DISTEXPAND_")
    own = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    scripts = sysconfig.get_path("scripts")
    places = {"PATH": f"{scripts}:{own['PATH']}", "PYTHONPATH": str(measure.ROOT)}
    return own | PLAIN | TUNED | places | {"RAY_raylet_start_wait_time_s": "90"}
