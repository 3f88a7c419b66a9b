"""What is true of models on the Hub alone: commits, logins, links, the local cache."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")
pytest.importorskip("obstore", reason="needs pip install 'distexpand[hub]'")

from huggingface_hub import hf_hub_download

from distexpand.errors import StorageError
from distexpand.intake.pins import read_header, read_whole
from distexpand.storage.address import parse_address
from distexpand.storage.hub.source import HubSource, open_hub
from distexpand.storage.local.reader import LocalReader
from tests.storage.contract import noise, read
from tests.storage.hubs import NAME, hub_in
from tests.support.hub_server import Fault, HubServer, lost_answer, rate_limited, stalled
from tests.support.hub_server.client import environment
from tests.support.hub_server.messages import Answer
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

LARGE = noise(700_000)
FILES = {"model.safetensors": LARGE, "config.json": b'{"a": 1}', "folder/x.json": b"[]"}


@pytest.fixture
def hub(tmp_path):
    with hub_in(tmp_path) as hub:
        yield hub


def test_what_is_read_is_of_one_commit(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        commit = hub.server.hub.repositories[NAME].at("main").oid
        assert source.location == f"hf://{NAME}@{commit}"
        hub.server.hub.add(
            NAME, {"model.safetensors": noise(10, 1), "config.json": b"other", "new.json": b""}
        )
        again = HubSource(parse_address(source.location))
        for store in (source, again):
            assert store.location == source.location
            assert store.files() == {name: len(raw) for name, raw in FILES.items()}
            assert {name: read_whole(store, name) for name in FILES} == FILES
        assert read_whole(open_hub(NAME), "config.json") == b"other"


@pytest.mark.parametrize("revision", ["v1", "side", "refs/pr/1", "shortened"])
def test_a_revision_is_resolved_once(hub, revision):
    with hub.user("ann"):
        hub.open(FILES)
        repository = hub.server.hub.repositories[NAME]
        commit = repository.at("main").oid
        repository.tags["v1"] = repository.branches["side"] = repository.branches["refs/pr/1"] = commit
        hub.server.hub.add(NAME, {"config.json": b"other"})
        source = open_hub(NAME, commit[:12] if revision == "shortened" else revision)
        assert source.location == f"hf://{NAME}@{commit}"
        assert read_whole(source, "config.json") == FILES["config.json"]


def test_versions_are_the_hub_s_names_of_contents(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        before = sum(hub.server.traffic.requests.values())
        assert source.open("model.safetensors").version == hashlib.sha256(LARGE).hexdigest()
        small = b"blob 8\0" + FILES["config.json"]
        assert source.open("config.json").version == hashlib.sha1(small).hexdigest()
        assert sum(hub.server.traffic.requests.values()) == before


def test_a_file_is_resolved_once_for_all_its_ranges(hub):
    with hub.user("ann"):
        reader = hub.open(FILES).open("model.safetensors")
        hub.server.traffic.clear()
        for offset in range(0, 600_000, 10_000):
            assert read(reader, offset, 9000) == LARGE[offset : offset + 9000]
        assert hub.server.traffic.requests["resolve"] == 1
        assert set(hub.server.traffic.requests) == {"resolve", "large"}


def test_planning_a_large_model_moves_its_headers_alone(hub, tmp_path):
    model = write_checkpoint(tmp_path / "source", family("llama2-70b"), shard_size=9_900_000_000)
    paths = {path.name: path for path in model.iterdir() if path.is_file()}
    with hub.user("ann"):
        source = hub.open(paths)
        shards = [name for name in source.files() if name.endswith(".safetensors")]
        assert len(shards) > 10
        headers = {name: read_header(source, name)[0] for name in shards}
        with paths[shards[0]].open("rb") as file:
            assert file.read(len(headers[shards[0]])) == headers[shards[0]]
        sent = sum(hub.server.traffic.sent.values())
        assert sum(map(len, headers.values())) < sent < 4_000_000
        assert hub.server.traffic.requests["large"] == hub.server.traffic.requests["resolve"] == len(shards)


@pytest.mark.parametrize("small", [False, True])
def test_links_that_are_refused_are_asked_for_anew(hub, small):
    name = "config.json" if small else "model.safetensors"
    with hub.user("ann"):
        reader = hub.open(FILES).open(name)
        read(reader, 0, 2)
        hub.server.hub.links.revoke()
        assert read(reader, 0, reader.size) == FILES[name]
        hub.server.hub.links.seconds = -1
        hub.server.hub.links.revoke()
        other = hub.open(FILES).open("model.safetensors")
        with pytest.raises(StorageError, match="links that the Hub gives to it are refused") as refused:
            read(other, 200_000, 10)
    assert "Signature" not in str(refused.value)


def test_the_token_goes_to_the_hub_alone(hub):
    with hub.user("ann") as token:
        source = hub.open(FILES, private=True)
        assert {name: read_whole(source, name) for name in FILES} == FILES
    assert token
    assert hub.server.tokens_seen == []


def refused(act, *, token=""):
    with pytest.raises(StorageError) as caught:
        act()
    text = f"{caught.value.message}\n{caught.value.hint}"
    for secret in filter(None, [token, "Signature", "Bearer", "127.0.0.1:1/"]):
        assert secret not in text
    return text


def test_a_gated_model_says_where_to_ask(hub):
    hub.server.hub.add(NAME, FILES, gated=True)
    for user in ("bob", ""):
        with hub.user(user) as token:
            source = open_hub(NAME)
            for name in FILES:
                text = refused(partial(read_whole, source, name), token=token)
                assert f"hf://{NAME}" in text
                assert f"Ask for access at {hub.server.endpoint}/{NAME}" in text
                assert ("hf auth login" in text) == (not user)
    hub.server.hub.repositories[NAME].granted.add("bob")
    with hub.user("bob"):
        assert read_whole(open_hub(NAME), "model.safetensors") == LARGE


@pytest.mark.parametrize("kind", ["missing", "private"])
@pytest.mark.parametrize("user", ["bob", ""])
def test_a_model_that_can_t_be_seen_is_named(hub, kind, user):
    if kind == "private":
        hub.server.hub.add(NAME, FILES, private=True)
    with hub.user(user) as token:
        text = refused(lambda: open_hub(NAME, "v1"), token=token)
    assert text.startswith(f"hf://{NAME}@v1: no such model, or a private one")
    assert f"{hub.server.endpoint}/{NAME}" in text
    assert ("hf auth login" in text) == (not user)


def test_a_token_that_isn_t_taken(hub, monkeypatch):
    hub.server.hub.add(NAME, FILES)
    with hub.user():
        monkeypatch.setenv("HF_TOKEN", "hf_outdatedoutdatedoutdated")
        text = refused(lambda: open_hub(NAME), token="hf_outdatedoutdatedoutdated")
    assert "the Hub doesn't take your token" in text
    assert "hf auth login" in text


def test_wrong_names(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        assert "no such branch, tag or commit" in refused(lambda: open_hub(NAME, "gone"))
        assert "can't be the name of a repository" in refused(lambda: open_hub("ann/a--b"))
        assert "there is no such file" in refused(lambda: source.open("gone.json"))


def test_no_network(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        hub.server.close()
        text = refused(lambda: open_hub(NAME))
        assert f"hf://{NAME}: the Hub can't be reached" in text
        assert "HF_ENDPOINT" in text
        assert "can't be reached" in refused(lambda: read_whole(source, "model.safetensors"))


@pytest.mark.parametrize("route", ["model", "resolve", "resolve-cache", "large"])
@pytest.mark.parametrize(
    "fault",
    [
        {"times": 2, "spoil": lost_answer},
        {"times": 2, "answer": rate_limited(0)},
        {"times": 1, "answer": rate_limited(0, header="Retry-After")},
        {"times": 2, "answer": Answer(status=503)},
        {"times": 1, "spoil": stalled(2)},
    ],
    ids=["lost", "limit", "after", "down", "hangs"],
)
def test_passing_troubles_are_waited_out(hub, route, fault, monkeypatch):
    monkeypatch.setattr("distexpand.storage.hub.client.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 1)
    with hub.user("ann"):
        hub.server.hub.add(NAME, FILES)
        hub.server.faults.append(Fault(route=route, **fault))
        source = open_hub(NAME)
        assert {name: read_whole(source, name) for name in FILES} == FILES
        assert hub.server.faults[0].seen > fault["times"]


def test_broken_off_ranges_are_gone_on_with(hub):
    def cut(answer):
        return Answer(status=answer.status, headers=answer.headers, body=answer.body, cut=300_000)

    with hub.user("ann"):
        reader = hub.open(FILES).open("model.safetensors")
        hub.server.faults.append(Fault(route="large", times=1, spoil=cut))
        assert read(reader, 0, len(LARGE)) == LARGE
        assert hub.server.traffic.sent["large"] < 1.5 * len(LARGE)


def test_cached_files_are_not_fetched(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        plain = source.open("model.safetensors")
        hf_hub_download(NAME, "model.safetensors")
        hub.server.traffic.clear()
        cached = source.open("model.safetensors")
        assert isinstance(cached, LocalReader)
        assert read(cached, 0, cached.size) == LARGE
        assert cached.version == plain.version
        cached.check_unchanged()
        assert not hub.server.traffic.requests


@pytest.mark.parametrize("damage", ["shorter", "other"])
def test_a_cached_file_that_isn_t_the_hub_s_is_left_alone(hub, damage):
    with hub.user("ann"):
        source = hub.open(FILES)
        path = Path(hf_hub_download(NAME, "model.safetensors"))
        if damage == "shorter":
            path.resolve().write_bytes(LARGE[:-1])
        else:
            path.unlink()
            path.symlink_to(Path(hf_hub_download(NAME, "config.json")).resolve())
        assert read_whole(source, "model.safetensors") == LARGE


def test_offline_the_cache_is_all_there_is(hub):
    with hub.user("ann"):
        source = hub.open(FILES)
        hf_hub_download(NAME, "model.safetensors")
        version = source.open("model.safetensors").version
    with hub.user(offline=True):
        hub.server.traffic.clear()
        for revision in (None, "main", source.location.rpartition("@")[2]):
            cached = open_hub(NAME, revision)
            assert cached.location == source.location
            assert cached.files() == {"model.safetensors": len(LARGE)}
            assert read_whole(cached, "model.safetensors") == LARGE
            assert cached.open("model.safetensors").version == version
        for act in (lambda: open_hub(NAME, "v1"), lambda: open_hub("ann/other")):
            text = refused(act)
            assert "isn't in the local cache" in text
            assert "HF_HUB_OFFLINE" in text
        assert not hub.server.traffic.requests


_READ = """
import sys
from distexpand.intake.pins import read_whole
from distexpand.storage.hub.source import open_hub
source = open_hub(sys.argv[1])
print(source.location, *sorted(source.files()))
print(read_whole(source, "config.json").decode(), len(read_whole(source, "model.safetensors")))
"""


@pytest.mark.parametrize("login", ["HF_TOKEN", "file"])
def test_the_environment_says_where_the_hub_is_and_who_asks(hub, login):
    token = hub.server.hub.add_user("ann")
    hub.server.hub.add(NAME, FILES, private=True)
    variables = environment(hub.server, hub.home, token=token if login == "HF_TOKEN" else "")
    hub.home.mkdir()
    if login == "file":
        (hub.home / "token").write_text(token)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", _READ, NAME],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    commit = hub.server.hub.repositories[NAME].at("main").oid
    listed, content = done.stdout.splitlines()
    assert listed == f"hf://{NAME}@{commit} config.json folder/x.json model.safetensors"
    assert content == f'{{"a": 1}} {len(LARGE)}'
    assert done.stderr == ""


def test_settings_that_the_library_can_t_take_are_told():
    done = subprocess.run(
        [sys.executable, "-m", "distexpand", "inspect", f"hf://{NAME}"],
        env={**os.environ, "HF_ENDPOINT": "http://[::broken"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == StorageError.exit_code
    assert done.stderr.startswith("error: huggingface_hub can't be used as the environment says")
    assert "HF_ENDPOINT" in done.stderr


def test_a_proxy_is_gone_through(hub, tmp_path, monkeypatch):
    """Both clients take it from the environment: the library's and the one for ranges."""
    hub.server.hub.add(NAME, FILES)
    with HubServer(tmp_path / "proxy") as proxy, hub.user():
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        monkeypatch.setenv("NO_PROXY", "")
        text = refused(lambda: open_hub(NAME))
        assert proxy.traffic.requests["unknown"] == 1
        assert urlsplit(proxy.endpoint).netloc not in text
