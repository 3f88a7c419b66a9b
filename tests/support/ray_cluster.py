"""A real Ray cluster of several nodes on this machine, to be broken by tests and benchmarks.

Every node is a `ray start` of its own, with its own temporary directory, so
that a raylet, a worker or a whole host can be killed as it would be anywhere.
Several clusters can live on one machine, and nothing outlives the test, even
if that is killed. Rejected: `ray.cluster_utils.Cluster`, whose killed raylets
stay zombies of the test and let their tasks finish.

    with started_cluster(dashboard=True) as cluster:
        node = cluster.add_node("one", cpus=2, resources={"io": 2})
        subprocess.run([...], env=cluster.driver_environment)
        node.kill_raylet()

Drivers and job clients need `driver_environment`: time limits are read from
the environment when Ray is first imported, and must be the same everywhere.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ray._raylet import GcsClient

from tests.support import free_ports, host_processes
from tests.support.ray_node import Node, argument, program

ROOT = Path(__file__).resolve().parents[2]

# A lost node is declared dead after about 9 s instead of 64, and its tasks are retried after 15 s
# instead of seven minutes.
TUNED = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_raylet_liveness_self_check_interval_ms": "5000",
}
PLAIN = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "OMP_NUM_THREADS": "1",
    # On a busy machine a node needs longer than 30 s to start.
    "RAY_raylet_start_wait_time_s": "80",
}

_START_SECONDS = 180.0
_HEAD = "head"


@dataclass(kw_only=True)
class RayCluster:
    """A head without CPUs and its nodes; made by `started_cluster`.

    Attributes:
        environment: what nodes are started with, without their mark.
        driver_environment: what drivers and job clients are to be started with; nothing is hidden there.
        nodes: by name, without those that were killed as a whole.
    """

    directory: Path
    port: int
    dashboard_port: int | None
    environment: Mapping[str, str]
    driver_environment: Mapping[str, str]
    ray: Path
    mark: str
    reaper: subprocess.Popen[str]
    nodes: dict[str, Node] = field(default_factory=dict)
    starts: int = 0

    @property
    def address(self) -> str:
        """HOST:PORT for drivers on this machine."""
        return f"127.0.0.1:{self.port}"

    @property
    def dashboard_url(self) -> str:
        """Where the Jobs API listens; empty without a dashboard."""
        return f"http://127.0.0.1:{self.dashboard_port}" if self.dashboard_port else ""

    @property
    def head(self) -> Node:
        """The node that holds the control service."""
        return self.nodes[_HEAD]

    def start_head(self) -> Node:
        """Start the head; again, on the same ports but knowing nothing, after `kill_host(cluster.head)`."""
        wait_until(lambda: free_ports.is_free(self.port), seconds=20, what=f"port {self.port} to be free")
        arguments = ["--head", f"--port={self.port}", f"--ray-client-server-port={free_ports.find()}"]
        if self.dashboard_port:
            arguments += ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"]
        arguments.append(f"--include-dashboard={'true' if self.dashboard_port else 'false'}")
        return self._start(_HEAD, [*arguments, "--num-cpus=0"], {})

    def add_node(
        self,
        name: str,
        *,
        cpus: float = 1,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        """Start one more node (about 3 s), on request with custom resources and more variables."""
        arguments = [f"--address={self.address}", f"--num-cpus={cpus}"]
        arguments.append(f"--resources={json.dumps(dict(resources or {}))}")
        return self._start(name, arguments, environment or {})

    def kill_host(self, node: Node) -> None:
        """Kill everything on a host at once; its name can be given to a new node then."""
        host_processes.kill_all(sessions={node.session}, mark=node.mark)
        self.nodes.pop(node.name, None)

    def alive(self) -> dict[str, str]:
        """Return the nodes that the control service holds for alive: names by node id.

        Raises:
            ray.exceptions.RaySystemError: the control service doesn't answer.
        """
        found = GcsClient(address=self.address).get_all_node_info(timeout=10).values()
        return {info.node_id.hex(): info.node_name for info in found if info.state == info.ALIVE}

    def wait_for_death(self, node: Node, *, seconds: float = 30) -> None:
        """Wait until the control service has noticed that a node is gone."""
        wait_until(lambda: node.node_id not in self.alive(), seconds=seconds, what=f"{node.name} to be dead")

    def _start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Node:
        if name in self.nodes:
            raise ValueError(f"a node {name!r} is there already")
        self.starts += 1
        temp_dir = self.directory / str(self.starts)
        mark = f"{self.mark}{self.starts}."
        options = [*arguments, *_common_options(name, temp_dir)]
        variables = {**self.environment, **environment, host_processes.MARK: mark}
        session = self._run_ray_start(options, variables, log=temp_dir.with_suffix(".log"))
        raylet = next(
            process
            for process in host_processes.processes(sessions={session}, mark=mark)
            if program(process) == "raylet"
        )
        self.nodes[name] = Node(
            name=name,
            node_id=argument(raylet, "node_id"),
            raylet_pid=raylet.pid,
            session=session,
            mark=mark,
            temp_dir=temp_dir,
        )
        return self.nodes[name]

    def _run_ray_start(self, options: Sequence[str], variables: Mapping[str, str], *, log: Path) -> int:
        """Run `ray start`, which leaves the node's daemons behind, and return the session of these."""
        assert self.reaper.stdin is not None
        with log.open("wb") as output:
            starter = subprocess.Popen(
                [self.ray, "start", *options],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
            )
        self.reaper.stdin.write(f"{starter.pid}\n")
        self.reaper.stdin.flush()
        try:
            code = starter.wait(_START_SECONDS)
        finally:
            starter.kill()
        if code != 0:
            raise RuntimeError(f"ray start: exit code {code}\n{log.read_text()}")
        return starter.pid


@contextmanager
def started_cluster(
    *,
    dashboard: bool = False,
    port: int | None = None,
    dashboard_port: int | None = None,
    environment: Mapping[str, str] | None = None,
    tuned: bool = True,
    hidden: Sequence[str] = (),
    ray: Path | None = None,
    parent: Path = Path("/tmp"),
) -> Iterator[RayCluster]:
    """Start a cluster of a head alone; at the end stop all of it and remove its files.

    Args:
        dashboard: needed for the Jobs API and the state API; takes 6 s and 1 GB more.
        port: of the head; one that is free if not given.
        dashboard_port: likewise.
        environment: more variables for nodes and drivers.
        tuned: whether lost nodes are noticed in seconds, not minutes.
        hidden: packages that nodes find in a runtime environment only, such as `distexpand`, `xxhash`.
        ray: another environment's `ray` command for the nodes.
        parent: where the nodes' directories are made; short, as paths of sockets are.
    """
    directory = Path(tempfile.mkdtemp(prefix="dx", dir=parent))
    mark = f"{secrets.token_hex(8)}."
    drivers = _environment({**PLAIN, **(TUNED if tuned else {}), **(environment or {})})
    reaper = subprocess.Popen(
        [sys.executable, host_processes.__file__, mark, str(directory)],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        cluster = RayCluster(
            directory=directory,
            port=port or free_ports.find(),
            dashboard_port=(dashboard_port or free_ports.find()) if dashboard else None,
            environment=_hiding(drivers, hidden),
            driver_environment=drivers,
            ray=ray or Path(sysconfig.get_path("scripts")) / "ray",
            mark=mark,
            reaper=reaper,
        )
        cluster.start_head()
        yield cluster
    finally:
        reaper.communicate(timeout=60)
        if reaper.returncode:
            raise RuntimeError(f"not everything of the cluster was stopped: exit code {reaper.returncode}")


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Look about ten times a second until the condition holds.

    Raises:
        TimeoutError: it doesn't within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def _common_options(name: str, temp_dir: Path) -> list[str]:
    """Return options of every node; 0 as a port means one that is free, so that clusters don't meet."""
    return [
        "--node-ip-address=127.0.0.1",
        f"--node-name={name}",
        f"--temp-dir={temp_dir}",
        "--object-store-memory=80000000",
        "--dashboard-agent-listen-port=0",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--disable-usage-stats",
    ]


def _environment(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the chosen settings instead of Ray's, Python's and pytest's."""
    foreign = re.compile("RAY_|PYTHON|PYTEST|COV_")
    return {name: value for name, value in os.environ.items() if not foreign.match(name)} | dict(chosen)


def _hiding(environment: Mapping[str, str], hidden: Sequence[str]) -> dict[str, str]:
    if not hidden:
        return dict(environment)
    places = (str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return {
        **environment,
        "PYTHONPATH": str(Path(__file__).parent / "bare_cluster"),
        "DISTEXPAND_TEST_HIDDEN": ",".join(hidden),
        "DISTEXPAND_TEST_HIDDEN_IN": os.pathsep.join(places),
    }
