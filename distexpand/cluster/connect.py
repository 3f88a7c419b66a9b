"""Connect this process to a Ray cluster as its driver.

Fails within seconds and says why: left to itself, Ray retries an address where
nobody is for minutes. Ray's own keepalive is left to the environment, as nodes
end the connection of a driver that pings more often than their own settings
say; the driver notices a partition by the silence of its workers.
"""

import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import distexpand
from distexpand.errors import DistexpandError, MissingDependencyError, StorageError, UsageError

_REACH_SECONDS = 5.0
_OBJECT_STORE_BYTES = 80_000_000
"""Weights never go through the object store; this is the least that Ray takes."""

_SAID_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
_BOTH = 2

_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD = 9
_FRAME_TYPE = 3
_SETTINGS = 4
"""What either side of HTTP/2, which Ray's services speak, sends first: a frame of settings."""

TUNED = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "30",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def connected(address: str, *, ship: bool) -> Iterator[None]:
    """Be a driver of the cluster at `address` for the time of the block.

    Args:
        address: `local` for a throw-away cluster in this machine, `auto` for the one that this
            machine is part of, or `HOST:PORT` of a head.
        ship: send this package along, for nodes that haven't got it.

    Raises:
        UsageError: the address isn't one, or nobody answers there.
        MissingDependencyError: Ray isn't installed.
        StorageError: the cluster refuses this driver.
    """
    _require_address(address)
    for name, value in TUNED.items():  # before the import: Ray reads them once
        os.environ.setdefault(name, value)
    ray = require_ray()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    elif ship:
        options["runtime_env"] = {"py_modules": [str(package_directory())]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own future, nothing that a user can act on
        try:
            ray.init(address=address, **options)
        except ConnectionError as error:
            raise UsageError(
                f"no Ray cluster at {address}: {str(error).splitlines()[0]}",
                hint="Start one, or give --address local for a throw-away one.",
            ) from None
        except (RuntimeError, ValueError, OSError) as error:
            raise _refusal(address, str(error)) from None
    try:
        yield
    finally:
        ray.shutdown()


def require_ray() -> Any:
    """Return the module `ray`.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "running on a cluster needs Ray, which isn't installed",
            hint="Install it with: pip install 'distexpand[ray]'",
        )
    import ray  # noqa: PLC0415  # a run on this machine never pays for it

    return ray


def package_directory() -> Path:
    """Return the directory of this package, as it is shipped to nodes."""
    return Path(distexpand.__file__).parent


def _refusal(address: str, said: str) -> DistexpandError:
    """Return our error for what Ray says when it won't have this driver."""
    versions = _SAID_VERSIONS.findall(said) if "ersion mismatch" in said else []
    if len(versions) == _BOTH:
        (cluster_ray, cluster_python), (ray, python) = versions
        return UsageError(
            f"the Ray cluster at {address} runs Ray {cluster_ray} with Python {cluster_python}, "
            f"this driver Ray {ray} with Python {python}",
            hint="Call from an environment with the cluster's versions, or use `distexpand submit`, "
            "whose driver runs in the cluster.",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return StorageError(
        f"can't join the Ray cluster at {address}: {lines[0] if lines else 'no reason given'}"
    )


def _require_address(address: str) -> None:
    if address.startswith("ray://"):
        raise UsageError(
            f"--address {address}: Ray Client isn't supported: the driver would stay on this machine, "
            "far from sources and output, and die with the connection",
            hint="Use `distexpand submit` with the Jobs address: --address http://HEAD:8265",
        )
    if address in {"local", "auto"}:
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or "/" in host:
        raise UsageError(
            f"--address {address!r}: expected local, auto, or HOST:PORT of a head (port 6379)",
            hint="Leave --address out for a throw-away cluster here.",
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS) as connection:
            speaks = _speaks_http2(connection)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: nobody answers there: {error}",
            hint="Is the head up, and its port reachable from here?",
        ) from None
    if not speaks:
        raise UsageError(
            f"--address {address}: what answers there isn't the head of a Ray cluster",
            hint="The port is that of `ray start --head --port`, 6379 if not given.",
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the other side answers as a head does; Ray itself would go on asking for ever.

    With encryption it can't be told without Ray's certificates, and is taken for granted.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in {"", "0"}:
        return True
    try:
        connection.sendall(_HTTP2_HELLO)
        head = connection.recv(_FRAME_HEAD, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == _FRAME_HEAD and head[_FRAME_TYPE] == _SETTINGS
