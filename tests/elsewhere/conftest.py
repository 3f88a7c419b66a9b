"""Every kind of place, on servers that run for as long as a session of tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distexpand.commit.hub import quota as hub_quota
from distexpand.storage.hub import asking as hub_asking
from tests.elsewhere.places import Buckets, Directories, Places, Repositories, Sources, WebFolders
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import connected
from tests.support.range_server import range_server


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Return a Hub that this process is logged in to."""
    monkeypatch.setattr(hub_asking, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(hub_quota, "PAUSE_SECONDS", 0.01)
    with (
        HubServer(tmp_path / "hub") as server,
        connected(server, tmp_path / "home", token=server.hub.add_user("ann")),
    ):
        yield server


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Places]:
    """Return a function that gives the places of a kind."""

    def of_kind(kind: str) -> Places:
        match kind:
            case "disk":
                return Directories(root=tmp_path / "disk")
            case "s3":
                server = request.getfixturevalue("seaweedfs")
                return Buckets(scheme=kind, server=server, root=request.getfixturevalue("bucket"))
            case "az":
                server = request.getfixturevalue("azurite")
                return Buckets(scheme=kind, server=server, root=request.getfixturevalue("container"))
            case "hf":
                return Repositories(server=request.getfixturevalue("hub"))
        raise ValueError(kind)

    return of_kind


@pytest.fixture
def web() -> Iterator[Sources]:
    """Return the folders of a web server."""
    with range_server() as server:
        yield WebFolders(server=server)
