"""A plain web server that gives files by range, with or without what other servers lack or get wrong."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from enum import Enum, auto
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Tags(Enum):
    """What the server says of a file's version."""

    STRONG = auto()
    WEAK = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is sent; without a `Content-Length` in chunks."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""

    def having(self, **headers: str) -> "Response":
        """Return the response with other values of some headers, written with `_` for `-`."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers=self.headers | changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file's bytes, and the time of its last change in seconds."""

    raw: bytes | memoryview
    changed: float
    tag: str


class RangeServer(ThreadingHTTPServer):
    """Serves what was put; `tags`, `dated` and `distort` say how it differs from a good server.

    `distort` gets each response and returns the one that is sent.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.files: dict[str, File] = {}
        self.tags = Tags.STRONG
        self.dated = True
        self.distort: Callable[[str, Response], Response] = lambda _method, response: response

    def put(self, path: str, raw: bytes | memoryview, *, changed: float = 1.7e9, tag: str = "") -> None:
        """Store a file, or replace it; its tag is a digest if not given."""
        self.files[path] = File(raw=raw, changed=changed, tag=tag or md5(raw).hexdigest())

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RangeServer

    def do_GET(self) -> None:
        self._respond("GET")

    def do_HEAD(self) -> None:
        self._respond("HEAD")

    def log_message(self, *_: object) -> None:
        pass

    def _respond(self, method: str) -> None:
        response = self.server.distort(method, self._response())
        chunked = "Content-Length" not in response.headers
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if method == "HEAD":
            return
        if chunked:
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(response.body), bytes(response.body)))
        else:
            self.wfile.write(response.body)

    def _response(self) -> Response:
        file = self.server.files.get(unquote(urlsplit(self.path).path).lstrip("/"))
        if file is None:
            return Response(status=404, headers={"Content-Length": "0"})
        headers = {"Accept-Ranges": "bytes"} | self._version(file)
        if self.headers.get("If-Match", headers.get("ETag")) != headers.get("ETag"):
            return Response(status=412, headers={"Content-Length": "0"})
        size = len(file.raw)
        asked = self.headers.get("Range")
        if asked is None:
            return Response(status=200, headers=headers | {"Content-Length": str(size)}, body=file.raw)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or size) + 1, size)
        if start >= size:
            return Response(status=416, headers={"Content-Length": "0", "Content-Range": f"bytes */{size}"})
        headers |= {
            "Content-Length": str(stop - start),
            "Content-Range": f"bytes {start}-{stop - 1}/{size}",
        }
        return Response(status=206, headers=headers, body=memoryview(file.raw)[start:stop])

    def _version(self, file: File) -> dict[str, str]:
        weak = "W/" if self.server.tags is Tags.WEAK else ""
        tag = {} if self.server.tags is Tags.NONE else {"ETag": f'{weak}"{file.tag}"'}
        return tag | ({"Last-Modified": formatdate(file.changed, usegmt=True)} if self.server.dated else {})


@contextmanager
def range_server() -> Iterator[RangeServer]:
    """Run a server until the context ends."""
    with RangeServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
