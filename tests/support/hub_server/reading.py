"""Routes that read: files, what is known of repositories, trees, branches, history."""

import hashlib
from typing import Any
from urllib.parse import quote

from tests.support.hub_server.hub import Hub
from tests.support.hub_server.messages import Answer, Request, json_answer
from tests.support.hub_server.ranges import file_answer
from tests.support.hub_server.refusals import RefusedError, entry_not_found
from tests.support.hub_server.repository import MAIN, Commit, File

_MOST_PATHS = 1000


def resolve(hub: Hub, request: Request, *, repo: str, revision: str, path: str) -> Answer:
    """Say where a file is: a small one elsewhere on the Hub, a large one on the host of large files."""
    repository = hub.downloadable(repo, request.token)
    commit = repository.at(revision)
    file = commit.tree.get(path)
    if file is None:
        refused = entry_not_found(path)
        refused.headers["X-Repo-Commit"] = commit.oid
        raise refused
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes", "ETag": f'"{file.etag}"'}
    if file.sha256 is None:
        location = f"/api/resolve-cache/models/{repo}/{commit.oid}/{quote(path)}?etag=%22{file.oid}%22"
        return Answer(status=307, headers={**headers, "Location": location})
    xet_hash = hub.xet.hash_of(file.sha256) if hub.xet is not None else None
    if xet_hash:
        refresh = f"{hub.endpoint}/api/models/{repo}/xet-read-token/{commit.oid}"
        headers |= {"X-Xet-Hash": xet_hash, "Link": f'<{refresh}>; rel="xet-auth"'}
    location = hub.storage_endpoint + hub.links.sign(f"/large/{file.sha256}")
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return Answer(status=302, headers={**headers, **linked, "Location": location})


def resolve_cache(hub: Hub, request: Request, *, repo: str, revision: str, path: str) -> Answer:
    """Give a small file."""
    repository = hub.downloadable(repo, request.token)
    file = repository.at(revision).tree.get(path)
    if file is None or file.sha256 is not None:
        raise entry_not_found(path)
    headers = {"X-Repo-Commit": repository.at(revision).oid, "ETag": f'"{file.oid}"'}
    return file_answer(request, hub.content(repository, file), headers)


def large(hub: Hub, request: Request, *, sha256: str) -> Answer:
    """Give a large file to whom has a link, and to nobody who shows a token."""
    if "authorization" in request.headers:
        return Answer(status=400, body=b"<Error><Code>InvalidArgument</Code></Error>")
    if not hub.links.holds(request.target):
        return Answer(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    tag = hashlib.md5(sha256.encode(), usedforsecurity=False).hexdigest()
    return file_answer(request, hub.large.path(sha256), {"ETag": f'"{tag}"'})


def model(hub: Hub, request: Request, *, repo: str, revision: str = MAIN) -> Answer:
    """Say what is known of a repository, with its files."""
    repository = hub.readable(repo, request.token)
    commit = repository.at(revision)
    with_files = request.query.get("blobs", "").lower() in {"true", "1"}
    return json_answer(
        {
            "_id": repo,
            "id": repo,
            "modelId": repo,
            "sha": commit.oid,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "siblings": [_sibling(path, commit.tree[path], with_files) for path in sorted(commit.tree)],
        }
    )


def _sibling(path: str, file: File, with_files: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": path}
    if with_files:
        found |= {"blobId": file.oid, "size": file.size}
        if file.sha256:
            found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return found


def tree(hub: Hub, request: Request, *, repo: str, revision: str, path: str = "") -> Answer:
    """List a folder, with what is below it if that is wanted; page by page."""
    commit = hub.readable(repo, request.token).at(revision)
    entries = _entries(hub, commit, path, recursive=request.query.get("recursive", "").lower() == "true")
    if path and not entries:
        raise entry_not_found(path)
    start = int(request.query.get("cursor", "0"))
    page, following = entries[start : start + hub.page], start + hub.page
    headers = {}
    if following < len(entries):
        below = f"/{quote(path)}" if path else ""
        query = f"recursive={request.query.get('recursive', 'false')}&cursor={following}"
        url = f"{hub.endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}{below}?{query}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_answer(page, headers=headers)


def _entries(hub: Hub, commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, file in sorted(commit.tree.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = prefix + "/".join(parts[:depth])
            found[name] = {"type": "directory", "oid": commit.oid, "size": 0, "path": name}
        if recursive or len(parts) == 1:
            found[path] = _entry(hub, path, file)
    return [found[path] for path in sorted(found)]


def _entry(hub: Hub, path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
        xet_hash = hub.xet.hash_of(file.sha256) if hub.xet is not None else None
        if xet_hash:
            entry["xetHash"] = xet_hash
    return entry


def paths_info(hub: Hub, request: Request, *, repo: str, revision: str) -> Answer:
    """Say what some paths are; those that aren't there are left out."""
    commit = hub.readable(repo, request.token).at(revision)
    paths = request.form().get("paths", [])
    if len(paths) > _MOST_PATHS:
        raise RefusedError(413, "too many parameters")
    found = []
    for path in paths:
        if path in commit.tree:
            found.append(_entry(hub, path, commit.tree[path]))
        elif any(known.startswith(f"{path}/") for known in commit.tree):
            found.append({"type": "directory", "oid": commit.oid, "size": 0, "path": path})
    return json_answer(found)


def refs(hub: Hub, request: Request, *, repo: str) -> Answer:
    """List branches and tags."""
    repository = hub.readable(repo, request.token)
    return json_answer(
        {
            "branches": [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid}
                for name, oid in repository.branches.items()
            ],
            "converts": [],
            "tags": [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid}
                for name, oid in repository.tags.items()
            ],
        }
    )


def commits(hub: Hub, request: Request, *, repo: str, revision: str) -> Answer:
    """List the history of a revision, page by page."""
    history = hub.readable(repo, request.token).history(revision)
    page = int(request.query.get("p", "0"))
    shown = history[page * hub.page : (page + 1) * hub.page]
    headers = {}
    if (page + 1) * hub.page < len(history):
        url = f"{hub.endpoint}/api/models/{repo}/commits/{quote(revision, safe='')}?p={page + 1}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_answer(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.description,
                "authors": [{"user": "somebody"}],
                "date": "2026-01-01T00:00:00.000Z",
            }
            for commit in shown
        ],
        headers=headers,
    )


def whoami(hub: Hub, request: Request) -> Answer:
    """Say whose token it is."""
    user = hub.user(request.token)
    if not user:
        raise RefusedError(401, "Invalid username or password.")
    return json_answer({"type": "user", "name": user, "orgs": [], "auth": {"type": "access_token"}})


def harnesses(_hub: Hub, _request: Request) -> Answer:
    """Give what the client library asks once a day."""
    return json_answer({"standardEnvVars": [], "harnesses": {}})
