"""Which route answers what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from tests.support.hub_server import reading, uploading, writing
from tests.support.hub_server.hub import Hub
from tests.support.hub_server.messages import Answer, Request

_MODEL = r"/api/models/(?P<repo>[^/]+/[^/]+)"
_AT = r"(?P<revision>[^/]+)"
_GET = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route; the names of the pattern's groups are the handler's parameters."""

    name: str
    methods: frozenset[str]
    pattern: str
    handler: Callable[..., Answer]

    def handle(self, hub: Hub, request: Request, **found: str | None) -> Answer:
        named: Mapping[str, str] = {
            name: unquote(value) for name, value in found.items() if value is not None
        }
        return self.handler(hub, request, **named)


def _route(name: str, methods: str, pattern: str, handler: Callable[..., Answer]) -> Route:
    allowed = _GET if methods == "GET" else frozenset(methods.split())
    return Route(name=name, methods=allowed, pattern=pattern, handler=handler)


HUB_ROUTES = (
    _route("whoami", "GET", r"/api/whoami-v2", reading.whoami),
    _route("harnesses", "GET", r"/api/agent-harnesses", reading.harnesses),
    _route("create", "POST", r"/api/repos/create", writing.create),
    _route("validate-yaml", "POST", r"/api/validate-yaml", writing.validate_yaml),
    _route("resolve-cache", "GET", rf"/api/resolve-cache/models/(?P<repo>[^/]+/[^/]+)/{_AT}/(?P<path>.+)",
           reading.resolve_cache),
    _route("model", "GET", _MODEL, reading.model),
    _route("model", "GET", rf"{_MODEL}/revision/{_AT}", reading.model),
    _route("tree", "GET", rf"{_MODEL}/tree/{_AT}(?:/(?P<path>.+))?", reading.tree),
    _route("paths-info", "POST", rf"{_MODEL}/paths-info/{_AT}", reading.paths_info),
    _route("refs", "GET", rf"{_MODEL}/refs", reading.refs),
    _route("commits", "GET", rf"{_MODEL}/commits/{_AT}", reading.commits),
    _route("create-branch", "POST", rf"{_MODEL}/branch/(?P<branch>[^/]+)", writing.create_branch),
    _route("delete-branch", "DELETE", rf"{_MODEL}/branch/(?P<branch>[^/]+)", writing.delete_branch),
    _route("preupload", "POST", rf"{_MODEL}/preupload/{_AT}", writing.preupload),
    _route("commit", "POST", rf"{_MODEL}/commit/{_AT}", writing.commit),
    _route("lfs-verify", "POST", rf"{_MODEL}/lfs-verify", uploading.verify),
    _route("lfs-complete", "POST", rf"{_MODEL}/lfs-complete/(?P<upload>[0-9a-f]+)", uploading.complete),
    _route("xet-token", "GET", rf"{_MODEL}/xet-(?P<kind>read|write)-token/{_AT}", uploading.xet_token),
    _route("lfs-batch", "POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", uploading.batch),
    _route("resolve", "GET", rf"/(?P<repo>[^/]+/[^/]+)/resolve/{_AT}/(?P<path>.+)", reading.resolve),
)  # fmt: skip

STORAGE_ROUTES = (
    _route("large", "GET", r"/large/(?P<sha256>[0-9a-f]{64})", reading.large),
    _route("upload", "PUT", r"/upload/(?P<sha256>[0-9a-f]{64})", uploading.put),
    _route("part", "PUT", r"/part/(?P<upload>[0-9a-f]+)/(?P<number>\d+)", uploading.put_part),
)
