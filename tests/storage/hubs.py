"""A Hub on loopback for tests that read from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from distexpand.storage.hub import asking as hub_asking
from distexpand.storage.hub.source import HubSource, open_hub
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import connected

NAME = "ann/model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A Hub, and the folder that a user of it has."""

    server: HubServer
    home: Path

    def open(self, files: dict[str, bytes | Path], **kind: bool) -> HubSource:
        """Put files into the repository and open it at its newest commit."""
        self.server.hub.add(NAME, files, **kind)
        return open_hub(NAME)

    @contextmanager
    def user(self, name: str = "", *, offline: bool = False) -> Iterator[str]:
        """Be a user with a token, or nobody; offline if that is wanted."""
        token = self.server.hub.add_user(name) if name else ""
        with connected(self.server, self.home, token=token, offline=offline):
            yield token


@contextmanager
def hub_in(folder: Path) -> Iterator[Place]:
    """Have a Hub, be one of its users, and never wait long."""
    place_home = folder / "home"
    with (
        HubServer(folder / "server") as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(hub_asking, "FIRST_WAIT_SECONDS", 0.01)
        patch.setenv("DISTEXPAND_TIMEOUT", "1")
        yield Place(server=server, home=place_home)
