"""Hosts on this machine: namespaces on a switch, with links that can be throttled and cut.

A host has its own network, mounts, processes and name, so that what runs in it
sees neither its neighbours' processes nor their mounts; files outside of its
mounts are shared. Killing a host ends everything in it, and nothing of all this
outlives the process that made it. Needs root, iproute2 and util-linux.

    with network() as hosts:
        one = hosts.add("one", rate=100e6)
        one.run(["ping", "-c1", "10.213.0.1"])
        one.cut(); one.mend(); one.kill()

Links are throttled in both directions by the kernel's token bucket (tc tbf), at
the bytes of Ethernet frames. Rejected: named namespaces (`ip netns add`), which
stay when a benchmark is killed; buckets inside the program, which measure the
program's own idea of a link.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NETWORK = "10.213.0"
# A tenth of this is what a link holds up at once; less makes the kernel cut its big segments up.
_BURST = 256 * 1024
# The first process of a host: it must collect what others leave behind, and never end.
_FIRST_PROCESS = """
import os, time
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A set of namespaces: `pid` is its first process as seen from outside, `port` its end at the switch."""

    name: str
    address: str
    pid: int
    port: str
    switch: int
    _anchor: "subprocess.Popen[bytes]"

    def command(self, command: Sequence[Any]) -> list[str]:
        """Return a command line that runs `command` on this host."""
        namespaces = ["--net", "--mount", "--uts", "--pid"]
        return ["nsenter", f"--target={self.pid}", *namespaces, "--", *map(str, command)]

    def run(self, command: Sequence[Any], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command on this host to its end, and raise if it fails."""
        return subprocess.run(self.command(command), check=True, text=True, **options)

    def start(self, command: Sequence[Any], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command on this host; it ends with the host at the latest."""
        return subprocess.Popen(self.command(command), stdin=subprocess.DEVNULL, **options)

    def cut(self) -> None:
        """Cut the host off; what runs on it goes on."""
        _inside(self.switch, "ip", "link", "set", self.port, "down")

    def mend(self) -> None:
        """Put the link up again."""
        _inside(self.switch, "ip", "link", "set", self.port, "up")

    def throttle(self, rate: float) -> None:
        """Limit the link to `rate` bytes a second in each direction."""
        limit = ("rate", f"{rate * 8:.0f}bit", "burst", str(_BURST), "latency", "20ms")
        for pid, device in ((self.pid, "eth0"), (self.switch, self.port)):
            _inside(pid, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *limit)

    def kill(self) -> None:
        """End everything on this host at once, as a power failure does; its mounts and link go with it."""
        self._anchor.kill()
        self._anchor.wait()


@dataclass(kw_only=True)
class Hosts:
    """The hosts of a network; made by `network`."""

    switch: int
    made: list[Host] = field(default_factory=list)

    def add(self, name: str, *, rate: float | None = None) -> Host:
        """Connect one more host, on request throttled to `rate` bytes a second each way."""
        number = len(self.made) + 1
        anchor = _anchor("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        host = Host(
            name=name,
            address=f"{_NETWORK}.{number}",
            pid=_only_child(anchor.pid),
            port=f"port{number}",
            switch=self.switch,
            _anchor=anchor,
        )
        self.made.append(host)
        _connect(host)
        if rate:
            host.throttle(rate)
        return host


@contextmanager
def network() -> Iterator[Hosts]:
    """Give a switch without hosts; at the end, everything on all of them is killed."""
    switch = _anchor("--fork", "--kill-child")
    hosts = Hosts(switch=_only_child(switch.pid))
    try:
        _inside(hosts.switch, "ip", "link", "add", "switch", "type", "bridge")
        _inside(hosts.switch, "ip", "link", "set", "switch", "up")
        yield hosts
    finally:
        for host in hosts.made:
            host.kill()
        switch.kill()
        switch.wait()


def _anchor(*namespaces: str) -> "subprocess.Popen[bytes]":
    """Start a process that holds namespaces open and dies with this one."""
    dying = ["setpriv", "--pdeathsig", "KILL"]
    holding = ["unshare", "--net", *namespaces, sys.executable, "-S", "-c", _FIRST_PROCESS]
    return subprocess.Popen([*dying, *holding], stdin=subprocess.DEVNULL)


def _only_child(pid: int) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            return int(children[0])
        time.sleep(0.01)
    sys.exit("a namespace couldn't be made: this needs root, and the kernel's namespaces")


def _connect(host: Host) -> None:
    """Lay a cable from the host to the switch."""
    link = ("ip", "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
    _inside(host.switch, *link)
    _inside(host.switch, "ip", "link", "set", host.port, "master", "switch", "up")
    for command in (
        ("hostname", host.name),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "add", f"{host.address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        # Ray asks which address the way out of here has.
        ("ip", "route", "add", "default", "dev", "eth0"),
    ):
        host.run(command)


def _inside(pid: int, *command: str) -> None:
    """Run a command in the network of a process."""
    subprocess.run(["nsenter", f"--target={pid}", "--net", "--", *command], check=True)
