"""A Ray cluster: does it answer at the address, and does it run what this machine runs?"""

import platform
from importlib import metadata
from typing import Any

from distexpand.doctor.findings import Found, Section, State
from distexpand.errors import DistexpandError
from distexpand.report.sizes import plural

_JOBS = ("http://", "https://")


def look_at_cluster(address: str) -> Section:
    """Return how a cluster answers: its Jobs API at http://HEAD:8265, or the head itself at HOST:PORT."""
    look = _jobs if address.startswith(_JOBS) else _head
    try:
        found = look(address)
    except DistexpandError as error:
        found = (Found(name="reachable", words=error.message, state=State.PROBLEM, advice=error.hint),)
    return Section(title=f"Ray at {address}", found=found)


def _jobs(address: str) -> tuple[Found, ...]:
    """Ask the Jobs API, by which `submit` goes: versions needn't be equal, as the driver runs there."""
    from distexpand.jobs.connection import answering, connect  # noqa: PLC0415  # optional

    client = connect(address)
    with answering(address):
        version = str(client._do_request("GET", "/api/version").json()["ray_version"])  # noqa: SLF001
    here = metadata.version("ray")
    return (
        Found(name="reachable", words="yes, for submit and jobs"),
        Found(
            name="version",
            words=f"Ray {version}, here {here}" + ("" if version == here else ": fine for submit"),
            state=State.OK if version == here else State.ADVICE,
            advice="" if version == here else "For `run --ray` both have to be equal; `submit` doesn't mind.",
        ),
    )


def _head(address: str) -> tuple[Found, ...]:
    """Join as a driver, as `run --ray` does: Ray refuses another version itself."""
    from distexpand.cluster.connect import connected, require_ray  # noqa: PLC0415  # optional

    with connected(address, ship=False):
        ray = require_ray()
        alive: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
        cpus = int(sum(node["Resources"].get("CPU", 0) for node in alive))
    return (
        Found(name="reachable", words=f"yes: {plural(len(alive), 'node')}, {plural(cpus, 'CPU')}"),
        Found(name="version", words=f"Ray {ray.__version__}, Python {platform.python_version()}, the same"),
    )
