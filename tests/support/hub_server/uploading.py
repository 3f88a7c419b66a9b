"""Routes by which large files come: Git's batch protocol, in one piece or in parts, and tokens for Xet."""

import hashlib
import secrets
import time
from typing import Any

from tests.support.hub_server.hub import Hub
from tests.support.hub_server.messages import Answer, Request, json_answer
from tests.support.hub_server.refusals import RefusedError


def batch(hub: Hub, request: Request, *, repo: str) -> Answer:
    """Say where each file is to be put; nothing for those that are here already."""
    repository = hub.writable(repo, request.token)
    asked = request.json()
    objects = []
    for entry in asked["objects"]:
        known = {"oid": entry["oid"], "size": entry["size"], "authenticated": True}
        if entry["oid"] not in repository.large:
            known["actions"] = _actions(hub, repo, entry["oid"], entry["size"])
        objects.append(known)
    return json_answer({"transfer": "multipart", "objects": objects})


def _actions(hub: Hub, repo: str, sha256: str, size: int) -> dict[str, Any]:
    verify = {"href": f"{hub.endpoint}/api/models/{repo}/lfs-verify", "header": {}}
    if size <= hub.part_bytes:
        href = hub.storage_endpoint + hub.links.sign(f"/upload/{sha256}")
        return {"upload": {"href": href, "header": {}}, "verify": verify}
    upload = secrets.token_hex(8)
    header = {"chunk_size": str(hub.part_bytes)}
    for number in range(1, -(-size // hub.part_bytes) + 1):
        header[f"{number:05}"] = hub.storage_endpoint + hub.links.sign(f"/part/{upload}/{number}")
    href = f"{hub.endpoint}/api/models/{repo}/lfs-complete/{upload}"
    return {"upload": {"href": href, "header": header}, "verify": verify}


def put(hub: Hub, request: Request, *, sha256: str) -> Answer:
    """Take a file in one piece; only whole ones with their digest stay."""
    _require_link(hub, request)
    if hashlib.sha256(request.body).hexdigest() != sha256:
        return Answer(status=400, body=b"<Error><Code>BadDigest</Code></Error>")
    hub.large.add(request.body)
    return Answer(headers={"ETag": f'"{sha256[:32]}"'})


def put_part(hub: Hub, request: Request, *, upload: str, number: str) -> Answer:
    """Take a part."""
    _require_link(hub, request)
    return Answer(headers={"ETag": f'"{hub.large.add_part(upload, int(number), request.body)}"'})


def _require_link(hub: Hub, request: Request) -> None:
    if not hub.links.holds(request.target):
        raise RefusedError(403, "AccessDenied")


def complete(hub: Hub, request: Request, *, repo: str, upload: str) -> Answer:
    """Put the parts of an upload together. The client shows no token here: the address is the secret."""
    asked = request.json()
    parts = [(part["partNumber"], part["etag"]) for part in asked["parts"]]
    if repo not in hub.repositories or not hub.large.complete(upload, asked["oid"], parts):
        raise RefusedError(400, "The parts aren't those of the file")
    return json_answer({"success": True})


def verify(hub: Hub, request: Request, *, repo: str) -> Answer:
    """Take note that a file is here, if it is."""
    repository, asked = hub.writable(repo, request.token), request.json()
    if asked["oid"] not in hub.large or hub.large.path(asked["oid"]).stat().st_size != asked["size"]:
        raise RefusedError(404, "Object isn't here")
    repository.large.add(asked["oid"])
    return json_answer({})


def xet_token(hub: Hub, request: Request, *, repo: str, kind: str, revision: str) -> Answer:
    """Say where the Xet client finds its store."""
    repository = (hub.writable if kind == "write" else hub.downloadable)(repo, request.token)
    repository.at(revision)
    if hub.xet is None:
        raise RefusedError(404, "Xet isn't enabled here")
    expires = int(time.time()) + 3600
    return json_answer(
        {"casUrl": hub.xet.address, "accessToken": "xet", "exp": expires},
        headers={
            "X-Xet-Cas-Url": hub.xet.address,
            "X-Xet-Access-Token": "xet",
            "X-Xet-Token-Expiration": str(expires),
        },
    )
