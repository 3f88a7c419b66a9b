"""The servers: one as the Hub itself, one as the host of large files, both in threads of this process."""

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.hub_server.hub import Hub
from tests.support.hub_server.messages import Answer, Request, Segment, json_answer
from tests.support.hub_server.refusals import RefusedError
from tests.support.hub_server.routes import HUB_ROUTES, STORAGE_ROUTES, Route

if TYPE_CHECKING:
    from tests.support.hub_server.faults import Fault

_CHUNK = 1 << 20


@dataclass(slots=True)
class Traffic:
    """What came in and went out, by route: requests, bytes of their bodies, bytes of the answers' bodies."""

    requests: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, route: str, *, requests: int = 0, received: int = 0, sent: int = 0) -> None:
        with self.lock:
            self.requests[route] += requests
            self.received[route] += received
            self.sent[route] += sent

    def clear(self) -> None:
        with self.lock:
            for counter in (self.requests, self.received, self.sent):
                counter.clear()


class HubServer:
    """A Hub that listens; as a context it stops at its end.

    `tokens_seen` are the credentials that came to the host of large files, where none may come.
    """

    def __init__(self, folder: Path, *, xet: bool = False) -> None:
        self.traffic = Traffic()
        self.faults: list[Fault] = []
        self.tokens_seen: list[str] = []
        self._connections: set[socket.socket] = set()
        self._servers = [self._server(HUB_ROUTES), self._server(STORAGE_ROUTES)]
        self.endpoint, self.storage_endpoint = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )
        self.hub = Hub(folder, endpoint=self.endpoint, storage_endpoint=self.storage_endpoint, xet=xet)
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            for server in self._servers
        ]
        for thread in self._threads:
            thread.start()

    def answer(self, routes: tuple[Route, ...], request: Request) -> tuple[str, Answer]:
        """Return the route's name and what it answers."""
        name, respond = self._route(routes, request)
        fault = next((fault for fault in list(self.faults) if fault.strikes(name, request)), None)
        if fault is not None and fault.spoil is None:
            return name, fault.answer
        try:
            answer = respond()
        except RefusedError as refused:
            answer = json_answer({"error": refused.message}, status=refused.status, headers=refused.headers)
        return name, fault.spoil(answer) if fault is not None and fault.spoil is not None else answer

    def _route(self, routes: tuple[Route, ...], request: Request) -> tuple[str, Callable[[], Answer]]:
        if routes is STORAGE_ROUTES and request.token:
            self.tokens_seen.append(request.token)
        for route in routes:
            found = re.fullmatch(route.pattern, request.path)
            if found and request.method in route.methods:
                return route.name, partial(route.handle, self.hub, request, **found.groupdict())
        return "unknown", lambda: json_answer({"error": "Not Found"}, status=404)

    def _server(self, routes: tuple[Route, ...]) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"owner": self, "routes": routes})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        return server

    def close(self) -> None:
        """Stop listening and end every connection."""
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for server in self._servers:
            server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """Reads requests and writes answers, over one connection after the other request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: HubServer
    routes: tuple[Route, ...]

    def setup(self) -> None:
        super().setup()
        self.owner._connections.add(self.connection)

    def finish(self) -> None:
        self.owner._connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle()

    def _serve(self) -> None:
        request = Request(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=b"".join(self._body()),
            host=self.headers.get("Host", ""),
        )
        name, answer = self.owner.answer(self.routes, request)
        self.owner.traffic.count(name, requests=1, received=len(request.body))
        self._send(name, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self._read(int(self.headers.get("Content-Length", 0)))
            return
        while length := int(self.rfile.readline().split(b";")[0], 16):
            yield self._read(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _read(self, length: int) -> bytes:
        """Read so much of a body; one that ends early is no request."""
        raw = self.rfile.read(length)
        if len(raw) < length:
            raise ConnectionError
        return raw

    def _send(self, name: str, answer: Answer) -> None:
        time.sleep(answer.delay)
        if answer.cut is not None and answer.cut < 0:
            self._break()
            return
        self.send_response(answer.status)
        for header, value in answer.headers.items():
            self.send_header(header, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        left = answer.length if answer.cut is None else answer.cut
        for chunk in _chunks(answer.body):
            self.wfile.write(chunk[:left])
            self.owner.traffic.count(name, sent=len(chunk[:left]))
            left -= len(chunk[:left])
        if answer.cut is not None:
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


def _chunks(body: bytes | Segment) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    with body.path.open("rb") as file:
        file.seek(body.offset)
        left = body.length
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                return
            yield chunk
            left -= len(chunk)
