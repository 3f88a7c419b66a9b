"""The Hub of the tests, held against the real client library."""

import random
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs pip install 'distexpand[hub]'")

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.hub_server import Fault, HubServer, lost_answer, rate_limited
from tests.support.hub_server.client import connected

# The library's own use of its HTTP client where a large file is sent.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "ann/model"
LARGE = random.Random(1).randbytes(300_000)
FILES = {"config.json": b"{}", "model.safetensors": LARGE, "folder/späť.json": b"[]"}


@pytest.fixture
def server(tmp_path):
    with HubServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def token(server):
    return server.hub.add_user("ann")


@pytest.fixture
def api(server, token, tmp_path):
    with connected(server, tmp_path / "home", token=token):
        yield HfApi()


def add(path, content):
    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def put(api, files, **more):
    operations = [add(path, content) for path, content in files.items()]
    return api.create_commit(NAME, operations, commit_message="files", **more)


def head(api, branch="main"):
    return api.repo_info(NAME, revision=branch).sha


def test_what_is_committed_is_downloaded(api, server):
    api.create_repo(NAME, private=True)
    before = head(api)
    made = put(api, FILES, parent_commit=before)
    assert made.oid == head(api) != before
    folder = Path(snapshot_download(NAME, revision=made.oid))
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert found.pop(".gitattributes")
    assert found == FILES
    assert server.tokens_seen == []
    assert server.traffic.received["upload"] == len(LARGE)
    assert server.traffic.requests["unknown"] == 0


def test_files_are_listed_with_sizes_and_digests(api, server):
    server.hub.add(NAME, FILES)
    siblings = {sibling.rfilename: sibling for sibling in api.repo_info(NAME, files_metadata=True).siblings}
    assert siblings.keys() == {*FILES, ".gitattributes"}
    assert all(siblings[name].size == len(raw) for name, raw in FILES.items())
    assert siblings["model.safetensors"].lfs.sha256
    assert siblings["config.json"].lfs is None
    server.hub.page = 2
    listed = list(api.list_repo_tree(NAME, recursive=True))
    assert [entry.path for entry in listed] == sorted([*FILES, ".gitattributes", "folder"])
    assert server.traffic.requests["tree"] == 3
    assert [file.path for file in api.get_paths_info(NAME, ["folder", "no", "config.json"])] == [
        "folder",
        "config.json",
    ]


def test_large_files_come_in_parts(api, server):
    api.create_repo(NAME)
    server.hub.part_bytes = 100_001
    put(api, {"model.safetensors": LARGE})
    assert server.traffic.requests["part"] == 3
    assert server.hub.tree(NAME)["model.safetensors"] == LARGE


def test_a_large_file_that_is_known_isn_t_sent_again(api, server):
    api.create_repo(NAME)
    for name in ("a.safetensors", "b.safetensors"):
        put(api, {name: LARGE})
    assert server.traffic.requests["upload"] == 1


def test_a_commit_on_a_branch_that_has_moved_is_refused(api, server):
    server.hub.add(NAME, FILES)
    before = head(api)
    put(api, {"a.json": b"1"}, parent_commit=before)
    with pytest.raises(HfHubHTTPError, match="412"):
        put(api, {"b.json": b"2"}, parent_commit=before)
    assert "b.json" not in server.hub.tree(NAME)


def test_large_files_are_copied_between_branches_without_being_sent(api, server):
    api.create_repo(NAME)
    api.create_branch(NAME, branch="side")
    put(api, {"x.safetensors": LARGE, "y.json": b"{}"}, revision="side")
    assert "x.safetensors" not in server.hub.tree(NAME)
    side = head(api, "side")
    copies = [CommitOperationCopy(name, name, src_revision=side) for name in ("x.safetensors", "y.json")]
    api.create_commit(NAME, copies, commit_message="publish")
    api.delete_branch(NAME, branch="side")
    assert server.hub.tree(NAME).items() >= {"x.safetensors": LARGE, "y.json": b"{}"}.items()
    assert server.traffic.requests["upload"] == 1
    assert [branch.name for branch in api.list_repo_refs(NAME).branches] == ["main"]
    assert [commit.title for commit in api.list_repo_commits(NAME)] == ["publish", "initial commit"]


def test_files_and_folders_are_deleted(api, server):
    server.hub.add(NAME, FILES)
    operations = [CommitOperationDelete("config.json"), CommitOperationDelete("folder/")]
    api.create_commit(NAME, operations, commit_message="delete")
    assert server.hub.tree(NAME).keys() == {".gitattributes", "model.safetensors"}
    with pytest.raises(EntryNotFoundError):
        api.create_commit(NAME, [CommitOperationDelete("gone.json")], commit_message="delete")


@pytest.mark.usefixtures("api")
def test_ranges(server):
    server.hub.add(NAME, FILES)
    for name, raw in {"model.safetensors": LARGE, "config.json": b"{}"}.items():
        location = get_hf_file_metadata(hf_hub_url(NAME, name)).location
        found = httpx2.get(location, headers={"Range": "bytes=1-200000"})
        assert (found.status_code, found.content) == (206, raw[1:200_001])
        assert found.headers["Content-Range"] == f"bytes 1-{min(200_000, len(raw) - 1)}/{len(raw)}"
        assert httpx2.get(location, headers={"Range": f"bytes={len(raw)}-"}).status_code == 416


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("spoil", ["expire", "alter", "revoke"])
def test_links_that_don_t_hold_are_refused(server, spoil):
    server.hub.add(NAME, FILES)
    server.hub.links.seconds = -1 if spoil == "expire" else 60
    location = get_hf_file_metadata(hf_hub_url(NAME, "model.safetensors")).location
    if spoil == "alter":
        location = location.replace("Expires=1", "Expires=2")
    if spoil == "revoke":
        server.hub.links.revoke()
    assert httpx2.get(location).status_code == 403


def test_who_may_not_see_a_repository_is_told_so(server, tmp_path, token):
    server.hub.add("ann/private", FILES, private=True)
    server.hub.add("ann/gated", FILES, gated=True)
    stranger = server.hub.add_user("bob")
    with connected(server, tmp_path / "home"):
        for name, refused in [
            ("ann/gone", RepositoryNotFoundError),
            ("ann/private", RepositoryNotFoundError),
        ]:
            with pytest.raises(refused):
                HfApi(token=stranger).repo_info(name)
            with pytest.raises(HfHubHTTPError, match="401"):
                HfApi().repo_info(name)
        for user in (stranger, None):
            assert HfApi(token=user).repo_info("ann/gated").siblings
            with pytest.raises(GatedRepoError):
                hf_hub_download("ann/gated", "config.json", token=user)
        assert hf_hub_download("ann/gated", "config.json", token=token)
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            HfApi(token="hf_wrong").repo_info("ann/gated")
        with pytest.raises(HfHubHTTPError, match="403"):
            HfApi(token=stranger).create_branch("ann/gated", branch="x")
        assert HfApi(token=token).whoami()["name"] == "ann"


def test_wrong_names(api, server):
    server.hub.add(NAME, FILES)
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(NAME, revision="gone")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(NAME, "gone.json")


@pytest.mark.parametrize("header", ["RateLimit", "Retry-After"])
def test_a_limit_of_requests_is_waited_for(api, server, header):
    server.hub.add(NAME, FILES)
    server.faults.append(Fault(route="tree", times=1, answer=rate_limited(0, header=header)))
    assert list(api.list_repo_tree(NAME))
    assert server.traffic.requests["tree"] == 2


def test_an_answer_may_be_lost_after_the_work_is_done(api, server):
    server.hub.add(NAME, FILES)
    server.faults.append(Fault(route="commit", times=1, spoil=lost_answer))
    with pytest.raises(httpx2.RemoteProtocolError):
        put(api, {"a.json": b"1"})
    assert server.hub.tree(NAME)["a.json"] == b"1"


def test_xet_sends_what_is_new_only(tmp_path):
    with HubServer(tmp_path / "server", xet=True) as server:
        token = server.hub.add_user("ann")
        with connected(server, tmp_path / "home", token=token, xet=True):
            api = HfApi()
            api.create_repo(NAME)
            put(api, {"a.safetensors": LARGE})
            first = server.hub.xet.stored_bytes
            put(api, {"b.safetensors": b"x" * 1000 + LARGE})
            assert 0 < server.hub.xet.stored_bytes - first < 0.5 * len(LARGE)
            assert Path(hf_hub_download(NAME, "b.safetensors")).read_bytes() == b"x" * 1000 + LARGE
            assert server.hub.tree(NAME)["a.safetensors"] == LARGE
            assert server.traffic.requests["lfs-batch"] == 0
