"""The faults of the soak: what befalls a cluster at a random moment, and how it ends."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak_cluster import DRIVER, LEAN, LINK, Machine, SoakCluster, send

CRAWL = 0.3e6
"""Bytes a second of a slow node's link."""

# Takes memory until Ray would call it used up, as Ray counts, and holds it for a while.
_HOG = """
import sys, time
share, seconds, group = float(sys.argv[1]), float(sys.argv[2]), "/sys/fs/cgroup/memory/memory."
open("/proc/self/oom_score_adj", "w").write("1000")
limit = int(open(group + "limit_in_bytes").read())
held, until = [], time.monotonic() + seconds
while time.monotonic() < until:
    stat = dict(line.split() for line in open(group + "stat"))
    used = int(open(group + "usage_in_bytes").read())
    used -= int(stat["total_inactive_file"]) + int(stat["total_active_file"])
    if used < share * limit:
        held.append(b"1" * min(50_000_000, int(share * limit - used) + 1))
    else:
        time.sleep(0.05)
"""


@dataclass(kw_only=True)
class Fault:
    """What was done: `words` says it to people; `ends` are moments at which a part of it is undone.

    `resubmit_after` are seconds until the cluster is whole enough to submit again.
    """

    kind: str
    words: str = ""
    ends: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    ticks: list[Callable[[], None]] = field(default_factory=list)
    last: list[Callable[[], None]] = field(default_factory=list)
    needs_restart: bool = False

    def tick(self) -> None:
        """Do what is due; called a few times a second while the run goes on."""
        now = time.monotonic()
        due = [end for moment, end in self.ends if moment <= now]
        self.ends = [(moment, end) for moment, end in self.ends if moment > now]
        for act in (*due, *self.ticks):
            act()

    def undo(self) -> None:
        """End what is left of it."""
        for act in (*(end for _, end in self.ends), *self.last):
            act()
        self.ends, self.ticks, self.last = [], [], []


Inject = Callable[[SoakCluster, random.Random, Fault], bool]
"""Does it and returns true, or false where there is nothing to hit yet."""


def _worker(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    busy = [(machine, pids) for machine in cluster.nodes() if (pids := machine.workers())]
    if not busy:
        return False
    machine, pids = choose.choice(busy)
    send([choose.choice(pids)], signal.SIGKILL)
    fault.words = f"a worker on {machine.name}"
    return True


def _raylet(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    machine = choose.choice(cluster.nodes())
    machine.signal(signal.SIGKILL, "raylet/raylet ")
    _replace(cluster, machine, choose, fault, f"raylet of {machine.name}")
    return True


def _host(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    machine = choose.choice(cluster.nodes())
    machine.host.kill()
    _replace(cluster, machine, choose, fault, f"host {machine.name}")
    return True


def _replace(cluster: SoakCluster, machine: Machine, choose: random.Random, fault: Fault, words: str) -> None:
    """Bring another node for a lost one, in half of the cases while the run goes on."""
    cluster.hurt.add(machine.name)
    fault.words = words
    if choose.random() < 0.5:
        fault.words += ", replaced during the run"
        fault.ends.append((time.monotonic() + choose.uniform(1, 5), cluster.start))


def _partition(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    machine, seconds = choose.choice(cluster.nodes()), choose.choice([3, 8, 15, 30, 45])
    machine.host.cut()
    cluster.hurt.add(machine.name)
    fault.words = f"{machine.name} cut off for {seconds} s"
    fault.ends.append((time.monotonic() + seconds, machine.host.mend))
    return True


def _gcs(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    seconds = choose.uniform(0, 12)
    cluster.machines["head"].signal(signal.SIGKILL, "gcs_server")
    fault.words = f"control service, head started again after {seconds:.0f} s"
    fault.needs_restart = True
    time.sleep(seconds)
    cluster.restart_head_in_place()
    return True


def _head(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    fault.words = "head with its driver"
    fault.needs_restart = True
    cluster.machines["head"].host.kill()
    cluster.hurt.add("head")
    time.sleep(choose.uniform(0, 3))
    cluster.start()
    return True


def _driver(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    number = choose.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    fault.words = f"driver by {number.name}"
    return cluster.machines["head"].signal(number, DRIVER) > 0


def _disk(cluster: SoakCluster, _: random.Random, fault: Fault) -> bool:
    """Fill the disk up to the reserve, which `lean` may not use and the others may."""
    filler = cluster.disk / "filler"
    with filler.open("wb") as file:
        _fill(file.fileno())
    fault.words = f"disk full for {LEAN}"
    fault.last.append(lambda: filler.unlink(missing_ok=True))
    return True


def _fill(descriptor: int) -> None:
    """Take all the space that is free to everybody, while others take some of it too."""
    end, piece = 0, 1 << 30
    while piece >= 1 << 12:
        try:
            os.posix_fallocate(descriptor, end, piece)
            end += piece
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece //= 2


def _slow(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    machine = choose.choice(cluster.nodes())
    if choose.random() < 0.5:
        machine.host.throttle(CRAWL)
        fault.words = f"{machine.name}: link at {CRAWL / 1e6} MB/s"
        fault.last.append(lambda: machine.host.throttle(LINK))
        return True
    fault.words = f"{machine.name}: workers stopped 9 of 10 seconds"
    fault.ticks.append(lambda: _stop_and_go(machine))
    fault.last.append(lambda: send(machine.pids("ray::"), signal.SIGCONT))
    return True


def _stop_and_go(machine: Machine) -> None:
    goes = time.monotonic() % 10 > 9
    send(machine.workers(), signal.SIGCONT if goes else signal.SIGSTOP)


def _memory(cluster: SoakCluster, choose: random.Random, fault: Fault) -> bool:
    busy = [machine for machine in cluster.nodes() if machine.workers()]
    if not busy:
        return False
    machine, seconds = choose.choice(busy), choose.uniform(2, 8)
    into_group = 'echo 0 >/sys/fs/cgroup/memory/cgroup.procs; exec "$@"'
    hog = [sys.executable, "-S", "-c", _HOG, "0.97", str(seconds)]
    process = machine.host.start(["sh", "-c", into_group, "sh", *hog], stderr=subprocess.DEVNULL)
    fault.words = f"{machine.name}: memory used up for {seconds:.0f} s"
    fault.last += [process.kill, lambda: _end(process)]
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.wait(30)


KINDS: dict[str, Inject] = {
    "worker": _worker,
    "raylet": _raylet,
    "host": _host,
    "partition": _partition,
    "gcs": _gcs,
    "head": _head,
    "driver": _driver,
    "disk": _disk,
    "slow": _slow,
    "memory": _memory,
}


def has_begun(log: Path) -> bool:
    """Whether the driver that writes this log has checked the nodes and begun."""
    return log.exists() and b'"event":"began"' in log.read_bytes()
