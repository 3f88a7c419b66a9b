"""The contract of sources for models on the Hub, also where the local cache has them."""

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")
pytest.importorskip("obstore", reason="needs pip install 'distexpand[hub]'")

from huggingface_hub import snapshot_download

from distexpand.storage.address import Address
from distexpand.storage.hub.source import HubSource, open_hub
from tests.storage.contract import SourceContract
from tests.storage.hubs import NAME, hub_in


@pytest.fixture
def hub(tmp_path):
    with hub_in(tmp_path) as hub, hub.user("ann"):
        yield hub


class TestHubSource(SourceContract):
    """Large files as those of a Hub are read, over links to another host."""

    @pytest.fixture
    def source(self, hub):
        yield hub.open
        assert hub.server.tokens_seen == []
        assert hub.server.traffic.requests["unknown"] == 0


class TestHubSourceWithLinksThatExpire(SourceContract):
    """The same where every link is worthless after a few requests."""

    @pytest.fixture
    def source(self, hub):
        hub.server.hub.links.uses = 3
        return hub.open


class TestFolderOfHubSource(SourceContract):
    """A checkpoint in a folder of a repository."""

    @pytest.fixture
    def source(self, hub):
        def make(files):
            hub.server.hub.add(NAME, {f"below/model/{name}": raw for name, raw in files.items()})
            hub.server.hub.add(NAME, {"config.json": b"another"})
            return HubSource(Address(scheme="hf", root=NAME, path="below/model"))

        return make


class TestPrivateHubSource(SourceContract):
    """A private repository, for whose small files the Hub itself wants the login."""

    @pytest.fixture
    def source(self, hub):
        return lambda files: hub.open(files, private=True)


class TestCachedHubSource(SourceContract):
    """Files that were downloaded before."""

    @pytest.fixture
    def source(self, hub):
        def make(files):
            hub.server.hub.add(NAME, files)
            snapshot_download(NAME)
            hub.server.traffic.clear()
            return open_hub(NAME)

        yield make
        assert set(+hub.server.traffic.requests) == {"model"}


class TestHubSourceOffline(SourceContract):
    """The cache alone."""

    @pytest.fixture
    def source(self, hub):
        def make(files):
            hub.server.hub.add(NAME, files)
            snapshot_download(NAME)
            hub.server.traffic.clear()
            with hub.user(offline=True):
                return open_hub(NAME)

        yield make
        assert not +hub.server.traffic.requests
