"""Ray's job client with time limits; the one place that imports it."""

import queue
import threading
from typing import Any

import requests
from ray.dashboard.utils import ray_address_to_api_server_url
from ray.job_submission import JobSubmissionClient

_RESOLVE_SECONDS = 15.0
_PROBE_SECONDS = 3.0


class BoundedClient(JobSubmissionClient):  # type: ignore[misc]  # Ray has no types for it
    """A client whose every request ends."""

    def __init__(self, address: str, *, connect_seconds: float, answer_seconds: float) -> None:
        """Connect, and look at the cluster's version."""
        self._seconds = (connect_seconds, answer_seconds)
        super().__init__(address)

    @property
    def address(self) -> str:
        """Where the API is, as `http://HOST:PORT`."""
        return str(self._address)

    def tail(self, node: str, file: str, lines: int) -> str:
        """Return the last lines of a log of one node, or nothing where this Ray has no such request."""
        query = f"/api/v0/logs/file?node_id={node}&filename={file}&lines={lines}"
        answer = self._do_request("GET", query)
        return str(answer.text) if answer.ok else ""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, **({"timeout": self._seconds} | options))


def dashboard_url(address: str) -> str:
    """Return the URL of the dashboard of the cluster whose `HOST:PORT` is given, or that this machine is in.

    Raises:
        TimeoutError: the cluster doesn't say in time.
        ConnectionError: this machine is in no cluster.
    """
    if address != "auto" and _speaks_http(address):
        return f"http://{address}"
    answer: queue.Queue[str | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(str(ray_address_to_api_server_url(address)))
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for
            answer.put(error)

    # A daemon, since Ray can't be told to give up and the end of this process mustn't wait for it.
    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=_RESOLVE_SECONDS)
    except queue.Empty:
        raise TimeoutError(address) from None
    if isinstance(found, Exception):
        raise found
    return found


def _speaks_http(address: str) -> bool:
    """Whether a `HOST:PORT` is that of a dashboard, which people write without `http://`."""
    try:
        requests.get(f"http://{address}/api/version", timeout=_PROBE_SECONDS)
    except requests.exceptions.RequestException:
        return False
    return True
