"""Reaching the Jobs API of a cluster, quickly or with a reason why not.

Ray's own client takes an address that was given for a mere default behind two
environment variables, has no time limits, and answers with its own exceptions.
All of that is put right here, so that nothing above knows how the API is reached.
"""

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from distexpand.errors import DistexpandError, MissingDependencyError, StorageError, UsageError

if TYPE_CHECKING:
    from distexpand.jobs.ray_client import BoundedClient

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where an address comes from if none is given: the first one that is set."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_EXAMPLE = "http://HEAD:8265"
_STATUS = re.compile(r"status code (\d{3})")
_environment = threading.Lock()


class ClusterAwayError(StorageError):
    """The cluster can't be reached now; it may be later."""


class UnknownJobError(UsageError):
    """The cluster has no job of that name."""


class JobTakenError(DistexpandError):
    """Another client has just submitted a job of that name."""


def default_address() -> str | None:
    """Return the address that the environment gives, as Ray's own tools look for it."""
    return next((os.environ[name] for name in ADDRESS_VARIABLES if os.environ.get(name)), None)


def require_ray() -> None:
    """Check that the client of the Jobs API is installed, without importing it.

    Raises:
        MissingDependencyError: it isn't.
    """
    if find_spec("ray") is None or find_spec("aiohttp") is None or find_spec("requests") is None:
        raise MissingDependencyError(
            "running on a cluster needs Ray with its job client, which isn't installed here",
            hint="Install it with: pip install 'distexpand[ray]'",
        )


def connect_to(address: str | None) -> "BoundedClient":
    """Return a client of the cluster at an address, or of the one that the environment names.

    Raises:
        UsageError: there is no address at all.
        DistexpandError: as `connect`.
    """
    found = address or default_address()
    if not found:
        raise UsageError(
            "which cluster? neither --address nor RAY_API_SERVER_ADDRESS or RAY_ADDRESS is given",
            hint="Give the address of the head's dashboard: --address http://HEAD:8265",
        )
    return connect(found)


def connect(address: str) -> "BoundedClient":
    """Return a client of the Jobs API that answers.

    Args:
        address: `http://HEAD:8265`, or inside a cluster `auto` or its `HOST:PORT`.

    Raises:
        UsageError: the address can't be one, or the cluster wants a token.
        ClusterAwayError: nothing answers there.
        MissingDependencyError: Ray isn't installed.
    """
    _refuse_address(address)
    require_ray()
    from distexpand.jobs.ray_client import BoundedClient, dashboard_url  # noqa: PLC0415 -- optional

    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with answering(address):
        if "://" not in address:
            with _environment:  # another thread may have hidden what `auto` looks for
                _knock(address)
                address = dashboard_url(address)
        with _given_address_wins():
            return BoundedClient(
                address.rstrip("/"), connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS
            )


def _refuse_address(address: str) -> None:
    scheme, separator, _ = address.partition("://")
    if scheme == "ray" and separator:
        raise UsageError(
            f"--address {_shown(address)}: Ray Client would run the driver on this machine and send every "
            "object through one proxy; a lost connection would end the run",
            hint=f"Use the address of the Jobs API: {_EXAMPLE}",
        )
    if separator and scheme not in {"http", "https"}:
        raise UsageError(
            f"--address {_shown(address)}: not an address of the Jobs API", hint=f"Write it as {_EXAMPLE}."
        )
    if "@" in address:
        raise UsageError(
            f"--address {_shown(address)}: holds a user name or password",
            hint="Give a token by RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token.",
        )
    if not separator and address != "auto" and not re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
        raise UsageError(f"--address {address!r}: not an address", hint=f"Write it as {_EXAMPLE}.")


def _shown(address: str) -> str:
    """Return an address without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//...@", address)


def _knock(address: str) -> None:
    """Find out in seconds that nothing listens; Ray would wait for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition(":")
    if port.isdigit() and "://" not in address:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS):
            pass


@contextmanager
def _given_address_wins() -> Iterator[None]:
    """Hide the variables that would win over the address that was given."""
    with _environment:
        held = {name: os.environ.pop(name) for name in ADDRESS_VARIABLES if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(held)


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Turn what goes wrong between here and the cluster into errors for the user.

    Raises:
        ClusterAwayError: no answer, or not in time.
        UnknownJobError: the cluster doesn't know the job.
        UsageError: the cluster wants another token, or the address is something else's.
        JobTakenError: a job of that name exists.
        StorageError: the cluster refuses, and says why.
    """
    try:
        yield
    except DistexpandError:
        raise
    except Exception as error:  # noqa: BLE001  # Ray raises nearly every kind
        raise _mapped(error, _shown(address)) from None


def _mapped(error: Exception, address: str) -> Exception:
    import requests  # noqa: PLC0415 -- optional
    from ray.exceptions import AuthenticationError  # noqa: PLC0415 -- optional

    if isinstance(error, AuthenticationError):
        return UsageError(
            f"{address}: the cluster refuses this client's token",
            hint="Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to what the head has.",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return UsageError(
            f"{address}: the certificate isn't trusted here",
            hint="Name the certificate's authority by REQUESTS_CA_BUNDLE=FILE.",
        )
    if isinstance(error, ValueError | KeyError | requests.exceptions.HTTPError):
        return _no_dashboard(address)
    if isinstance(error, requests.exceptions.RequestException | ConnectionError | OSError | TimeoutError):
        return _away(address)
    return _refused(str(error), address)


def _no_dashboard(address: str) -> UsageError:
    return UsageError(
        f"{address}: what answers there isn't a Ray dashboard",
        hint=f"Give the dashboard of the cluster's head: {_EXAMPLE}",
    )


def _away(address: str) -> ClusterAwayError:
    where = urlsplit(address).netloc or address
    return ClusterAwayError(
        f"{address}: no Ray cluster answers there",
        hint=f"Is {where} reachable from here, and was the head started with its dashboard? "
        f"Its address is usually {_EXAMPLE}.",
    )


def _refused(text: str, address: str) -> Exception:
    """Map Ray's one error for every answer that isn't the wanted one."""
    if "Version check returned 404" in text:
        return _no_dashboard(address)
    status = _STATUS.search(text)
    if "already exists" in text:
        return JobTakenError("a job of that name exists")
    if status and status[1] == "404":
        return UnknownJobError(f"{address}: the cluster knows no such job")
    if status and status[1] in {"502", "503", "504"}:
        return _away(address)
    last = text.strip().rsplit("\n", maxsplit=1)[-1][:500]
    return StorageError(f"{address}: the cluster refuses: {last}")


def job_error(error: Exception, *, job: str, address: str) -> Exception:
    """Return an error that names the job where the cluster doesn't know it."""
    if not isinstance(error, UnknownJobError):
        return error
    return UnknownJobError(
        f"{address}: the cluster knows no job {job!r}", hint="`distexpand jobs list` shows those it knows."
    )


def details(value: Any) -> str:
    """Return a status of Ray's as plain text."""
    return str(getattr(value, "value", value))
