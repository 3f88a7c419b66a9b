"""A real Azure blob server for tests: Azurite, Microsoft's emulator, an npm package.

It isn't in the Python package index, so tests that need it are skipped where it isn't installed.
"""

import os
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support import free_ports
from tests.support.server_process import server_process

_PROGRAM = "azurite-blob"
_INSTALLED_BESIDE = Path(sys.prefix) / "azurite" / "node_modules" / ".bin"
"""Where `npm install --prefix` puts it into the tests' own environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A server and its one account; `client` is Azure's, by which tests look past the package."""

    endpoint: str
    account: str
    key: str
    client: Any = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """Return the variables by which clients find the server, or a proxy that stands before it."""
        return {
            "AZURE_STORAGE_ENDPOINT": f"{endpoint or self.endpoint}/{self.account}",
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
        }

    def new_container(self) -> str:
        """Make a container that nobody else uses, and return its name."""
        name = f"container-{next(self._numbers)}"
        self.client.create_container(name)
        return name

    def put(self, container: str, files: Mapping[str, bytes]) -> None:
        """Store files by their names."""
        for name, raw in files.items():
            self.client.get_blob_client(container, name).upload_blob(raw, overwrite=True)

    def contents(self, container: str) -> dict[str, bytes]:
        """Return all that a container holds."""
        inside = self.client.get_container_client(container)
        return {name: inside.download_blob(name).readall() for name in inside.list_blob_names()}


def azurite_program() -> str:
    """Return the command that starts the server, or skip the test that asks."""
    found = shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path=_INSTALLED_BESIDE)
    if not found:
        pytest.skip(
            f"{_PROGRAM} isn't installed (npm install --prefix {_INSTALLED_BESIDE.parents[1]} azurite)"
        )
    return found


@contextmanager
def started_azurite(*, parent: Path | None = None) -> Iterator[Azurite]:
    """Start a server with an empty store and one account; its files are removed at the end."""
    program = azurite_program()
    directory = Path(tempfile.mkdtemp(prefix="azurite-", dir=parent))
    port = free_ports.find()
    server = _server(f"http://127.0.0.1:{port}")
    command = [
        program,
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
        f"--blobPort={port}",
        f"--location={directory}",
    ]
    try:
        with server_process(
            command,
            directory=directory,
            is_ready=lambda: _answers(server),
            environment={**os.environ, "AZURITE_ACCOUNTS": f"{server.account}:{server.key}"},
        ):
            yield server
    finally:
        server.client.close()
        shutil.rmtree(directory, ignore_errors=True)


def _server(endpoint: str) -> Azurite:
    from azure.storage.blob import BlobServiceClient  # noqa: PLC0415

    account, key = "testaccount", b64encode(b"known-to-tests-only").decode()
    client = BlobServiceClient(
        f"{endpoint}/{account}", {"account_name": account, "account_key": key}, retry_total=0
    )
    return Azurite(endpoint=endpoint, account=account, key=key, client=client)


def _answers(server: Azurite) -> bool:
    from azure.core.exceptions import AzureError  # noqa: PLC0415

    with suppress(AzureError):
        server.new_container()
        return True
    return False
