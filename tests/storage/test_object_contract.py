"""Places on a network keep the contract of a store: real servers, on this machine."""

import json

import pytest

from distexpand.storage.address import Address
from distexpand.storage.objects import reader as object_reader
from distexpand.storage.objects.source import ObjectSource
from tests.storage.contract import SourceContract
from tests.support.range_server import Tags, range_server
from tests.support.store_environment import set_store_environment


@pytest.fixture(autouse=True)
def _short_heads(monkeypatch):
    """Let ranges be asked for: the files are shorter than what is fetched and kept at first."""
    monkeypatch.setattr(object_reader, "HEAD_BYTES", 1000)


@pytest.fixture
def folder(request):
    """Return a folder of its own for each test, as new buckets take time."""
    return f"models/{request.cls.__name__}/{request.node.name}"


@pytest.fixture(scope="module")
def shared_bucket(seaweedfs):
    return seaweedfs.new_bucket()


class TestS3(SourceContract):
    @pytest.fixture
    def source(self, seaweedfs, shared_bucket, folder, monkeypatch):
        set_store_environment(monkeypatch, seaweedfs.environment())

        def make(files):
            seaweedfs.put(shared_bucket, {f"{folder}/{name}": raw for name, raw in files.items()})
            return ObjectSource(Address(scheme="s3", root=shared_bucket, path=folder))

        return make


class TestGoogle(SourceContract):
    """Google's client against a server that speaks S3, which for reading without a login is the same."""

    @pytest.fixture
    def source(self, seaweedfs, public_bucket, folder, monkeypatch):
        set_store_environment(monkeypatch, {"GOOGLE_BASE_URL": seaweedfs.endpoint})

        def make(files):
            seaweedfs.put(public_bucket, {f"{folder}/{name}": raw for name, raw in files.items()})
            return ObjectSource(Address(scheme="gs", root=public_bucket, path=folder))

        return make


class TestAzure(SourceContract):
    @pytest.fixture
    def source(self, azurite, container, folder):
        def make(files):
            azurite.put(container, {f"{folder}/{name}": raw for name, raw in files.items()})
            return ObjectSource(Address(scheme="az", root=container, path=folder))

        return make


@pytest.fixture(scope="module")
def web():
    with range_server() as server:
        yield server


class TestWeb(SourceContract):
    @pytest.fixture
    def source(self, web, monkeypatch):
        set_store_environment(monkeypatch, {})
        web.files.clear()

        def make(files):
            for name, raw in files.items():
                web.put(f"models/it/{name}", raw)
            return ObjectSource(
                Address(scheme="http", root=web.endpoint.partition("//")[2], path="models/it")
            )

        return make

    def test_lists_every_file_with_its_size(self, source):
        """A web server can't be asked for what a checkpoint doesn't name."""
        index = {
            "weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors", "z": "gone.safetensors"}
        }
        files = {
            "model.safetensors.index.json": json.dumps(index).encode(),
            "model-1.safetensors": b"123",
            "model-2.safetensors": b"",
            "config.json": b'{"auto_map": {"AutoConfig": "configuration_it.ItConfig", "Bad": ["../x.Y", 5]}}',
            "configuration_it.py": b"#",
            "tokenizer.json": b"{}",
        }
        unknown = {"model-3.safetensors": b"1", "folder/tokenizer.json": b"{}"}
        assert source(files | unknown).files() == {name: len(raw) for name, raw in files.items()}


@pytest.mark.parametrize("tags", [Tags.WEAK, Tags.NONE])
class TestWebWithPoorerVersions(TestWeb):
    @pytest.fixture(autouse=True)
    def _poorer(self, web, tags):
        web.tags = tags
        yield
        web.tags = Tags.STRONG
