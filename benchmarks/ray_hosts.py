"""A Ray cluster on simulated hosts: each with its own throttled link and its own mount of the storage.

    with ray_hosts(4, rate=100e6, store=directory) as cluster:
        cluster.head.run(["distexpand", "run", "--ray", "--address", cluster.address, ...])

The storage's link isn't throttled; what is measured is that of the nodes. The
head does no work and has a link of its own.
"""

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.hosts import Host, network
from benchmarks.shared_storage import mount, serve
from distexpand.cluster.connect import TUNED
from tests.support.ray_cluster import PLAIN

STORE = Path("/mnt")
"""Where every host but the storage itself sees the shared directory."""

PER_NODE = 4
"""Shards at once on a node: two can be waiting for their last bytes to be synced while two more move."""

_PORT = 6379
# Ray makes its workers nicer than everything else. All hosts share these processors, and what
# carries the simulated network must not outrank the work.
_ENVIRONMENT = {**PLAIN, **TUNED, "RAY_worker_niceness": "0", "RAY_raylet_start_wait_time_s": "120"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RayHosts:
    """A started cluster: `address` is the head's for drivers."""

    head: Host
    nodes: tuple[Host, ...]
    address: str


@contextmanager
def ray_hosts(count: int, *, rate: float, store: Path) -> Iterator[RayHosts]:
    """Start storage, head and `count` nodes, each link at `rate` bytes a second each way."""
    with network() as hosts, tempfile.TemporaryDirectory(prefix="dxh", dir="/tmp") as temporary:
        storage = hosts.add("storage")
        serve(storage)
        head = hosts.add("head", rate=rate)
        nodes = tuple(hosts.add(f"node{number}", rate=rate) for number in range(1, count + 1))
        address = f"{head.address}:{_PORT}"
        for host in (head, *nodes):
            mount(host, storage, store, STORE)
        _ray_start(
            head, Path(temporary), "--head", f"--port={_PORT}", "--num-cpus=0", "--include-dashboard=false"
        )
        for node in nodes:
            _ray_start(
                node,
                Path(temporary),
                f"--address={address}",
                "--num-cpus=2",
                f'--resources={{"io": {PER_NODE}}}',
            )
        try:
            yield RayHosts(head=head, nodes=nodes, address=address)
        finally:
            for host in (*nodes, head):
                host.kill()


def environment() -> dict[str, str]:
    """Return the environment of nodes and drivers."""
    return measure.environment() | _ENVIRONMENT


def _ray_start(host: Host, temporary: Path, *arguments: Any) -> None:
    options = [f"--node-ip-address={host.address}", f"--node-name={host.name}"]
    options += [
        f"--temp-dir={temporary / host.name}",
        "--object-store-memory=80000000",
        "--disable-usage-stats",
    ]
    command = [Path(sysconfig.get_path("scripts")) / "ray", "start", *arguments, *options]
    log = temporary / f"{host.name}.log"
    with log.open("wb") as file:
        started = subprocess.run(
            host.command(command), env=environment(), timeout=180, stdout=file, stderr=file, check=False
        )
    if started.returncode != 0:
        sys.exit(f"{host.name}: ray start: exit code {started.returncode}\n{log.read_text()}")
