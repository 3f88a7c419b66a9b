"""Routes that change a repository: making it, branches, commits and what is asked before them."""

import base64
import binascii
import fnmatch
import json
from typing import Any

import yaml

from tests.support.hub_server.hub import Hub
from tests.support.hub_server.messages import Answer, Request, json_answer
from tests.support.hub_server.refusals import RefusedError, entry_not_found, revision_not_found
from tests.support.hub_server.repository import MAIN, File, Repository, large_file

_LARGE_FROM = 10_000_000


def create(hub: Hub, request: Request) -> Answer:
    """Make a repository with its first commit."""
    asked, user = request.json(), hub.user(request.token)
    if not user:
        raise RefusedError(401, "Invalid username or password.")
    name = f"{asked.get('organization') or user}/{asked['name']}"
    if name in hub.repositories:
        return json_answer(
            {"error": "You already created this model repo", "url": f"{hub.endpoint}/{name}"}, status=409
        )
    if name.partition("/")[0] != user:
        raise RefusedError(403, f"You don't have the rights to create a model under the namespace {name}")
    private = asked.get("visibility") == "private" or asked.get("private") is True
    hub.repositories[name] = Repository(name=name, private=private)
    return json_answer({"url": f"{hub.endpoint}/{name}", "name": name, "id": name})


def create_branch(hub: Hub, request: Request, *, repo: str, branch: str) -> Answer:
    """Make a branch, of the main one if nothing else is said."""
    repository = hub.writable(repo, request.token)
    start = request.json().get("startingPoint", MAIN) if request.body else MAIN
    with repository.lock:
        if branch in repository.branches:
            raise RefusedError(409, f"Reference already exists: refs/heads/{branch}")
        repository.branches[branch] = repository.at(start).oid
    return json_answer({}, status=201)


def delete_branch(hub: Hub, request: Request, *, repo: str, branch: str) -> Answer:
    """Remove a branch that isn't the main one."""
    repository = hub.writable(repo, request.token)
    if branch == MAIN:
        raise RefusedError(403, "The main branch can't be deleted")
    with repository.lock:
        if repository.branches.pop(branch, None) is None:
            raise revision_not_found(branch)
    return json_answer({})


def validate_yaml(_hub: Hub, request: Request) -> Answer:
    """Check what a model card says about itself at its head."""
    _, dashes, rest = request.json()["content"].partition("---\n")
    head, closing, _ = rest.partition("\n---")
    warning = {"message": "empty or missing yaml metadata in repo card"}
    if not dashes or not closing:
        return json_answer({"errors": [], "warnings": [warning]})
    try:
        card = yaml.safe_load(head)
    except yaml.YAMLError:
        return json_answer({"errors": [{"message": "invalid YAML"}], "warnings": []}, status=400)
    named = card.get("base_model", []) if isinstance(card, dict) else []
    for name in [named] if isinstance(named, str) else named:
        if name.count("/") > 1 or name.startswith("."):
            message = (
                f'"base_model" with value "{name}" is not valid. Use a model id from https://hf.co/models.'
            )
            return json_answer({"errors": [{"message": message}], "warnings": []}, status=400)
    return json_answer({"errors": [], "warnings": []})


def preupload(hub: Hub, request: Request, *, repo: str, revision: str) -> Answer:
    """Say of each file how it has to come: in the commit, or as a large file before it."""
    repository = hub.writable(repo, request.token)
    commit = repository.at(revision)
    attributes = commit.tree.get(".gitattributes")
    patterns = _large_patterns(repository, attributes)
    files = []
    for asked in request.json()["files"]:
        mode = "lfs" if _is_large(asked, patterns) else "regular"
        files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False})
        if asked["path"] in commit.tree:
            files[-1]["oid"] = commit.tree[asked["path"]].etag
    return json_answer({"files": files, "commitOid": commit.oid})


def _large_patterns(repository: Repository, attributes: File | None) -> list[str]:
    lines = repository.blobs[attributes.oid].decode().splitlines() if attributes else []
    return [line.split()[0] for line in lines if "filter=lfs" in line]


def _is_large(asked: dict[str, Any], patterns: list[str]) -> bool:
    name = asked["path"].rpartition("/")[2]
    if asked["size"] >= _LARGE_FROM or any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
        return True
    try:
        sample = base64.b64decode(asked["sample"]).decode()
    except (UnicodeDecodeError, binascii.Error):
        return True
    return "\0" in sample


def commit(hub: Hub, request: Request, *, repo: str, revision: str) -> Answer:
    """Add a commit to a branch: a header and one line per file."""
    repository = hub.writable(repo, request.token)
    header: dict[str, Any] = {}
    changes: dict[str, File | None] = {}
    with repository.lock:
        if revision not in repository.branches:
            raise revision_not_found(revision)
        before = repository.at(revision).tree
        for line in request.body.splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                header = value
            else:
                changes |= _change(hub, repository, before, key, value)
        made = repository.commit(
            revision,
            changes,
            title=header["summary"],
            description=header.get("description", ""),
            parent=header.get("parentCommit"),
        )
    url = f"{hub.endpoint}/{repo}/commit/{made.oid}"
    return json_answer({"success": True, "commitUrl": url, "commitOid": made.oid, "hookOutput": ""})


def _change(
    hub: Hub, repository: Repository, before: Any, key: str, value: dict[str, Any]
) -> dict[str, File | None]:
    path = value["path"]
    match key:
        case "file":
            return {path: repository.add_blob(base64.b64decode(value["content"]))}
        case "lfsFile":
            return {path: _known_large_file(hub, repository, value["oid"], value.get("size"))}
        case "deletedFile" if path in before:
            return {path: None}
        case "deletedFolder":
            return {name: None for name in before if name.startswith(path.rstrip("/") + "/")}
    if key == "deletedFile":
        raise entry_not_found(f"A file with this name doesn't exist: {path}")
    raise RefusedError(400, f"Unknown operation {key}")


def _known_large_file(hub: Hub, repository: Repository, sha256: str, size: int | None) -> File:
    if sha256 not in repository.large and hub.xet is not None:
        xet_hash = hub.xet.hash_of(sha256)
        if xet_hash and size is not None:
            hub.xet.fetch(xet_hash, size, hub.large.path(sha256))
            repository.large.add(sha256)
    if sha256 not in repository.large or sha256 not in hub.large:
        raise RefusedError(400, f"LFS pointer pointed to a file that does not exist: {sha256}")
    stored = hub.large.path(sha256).stat().st_size
    if size is not None and size != stored:
        raise RefusedError(400, f"LFS pointer has another size than its file: {sha256}")
    return large_file(sha256, stored)
