"""A proxy that stands before a real server, counts what goes by and lets things go wrong.

Clients are given the proxy's address as the server's. Requests pass unchanged, `Host` included, so
that signatures stay valid.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.faults import Fault, FaultPlan, Kind, Request, no_faults
from tests.support.http_wire import ClosedError, Head, Wire

_TRICKLES = 20
_ARRIVAL_SECONDS = 0.05
"""A reset takes what the client's system holds but hasn't handed on."""

_REASONS = {429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass(slots=True)
class Traffic:
    """What has gone by: bytes of heads and bodies each way, requests by method, and all requests."""

    to_server: int = 0
    to_client: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    log: list[Request] = field(default_factory=list)


class FaultProxy:
    """A proxy before one server; set `plan` and read or replace `traffic` at any time."""

    def __init__(self, server: str, plan: FaultPlan = no_faults) -> None:
        """Listen on a free port.

        Args:
            server: its address as `http://host:port`; may be set again to lead clients to another one.
            plan: decides what goes wrong.
        """
        self.server = server
        self.plan = plan
        self.traffic = Traffic()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self._wires: set[Wire] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def close(self) -> None:
        """Break all connections and end all threads."""
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for wire in self._wires:
                wire.wake()
        while self._threads:
            self._threads.pop().join()
        self._listener.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        client = self._known(Wire(connection))
        server: Wire | None = None
        try:
            while not self._stopping.is_set():
                head = client.head()
                server = server or self._known(Wire(_connected(self.server)))
                if not _Exchange(self, client, server, head).run():
                    break
        except (ClosedError, OSError):
            pass
        finally:
            for wire in filter(None, (client, server)):
                self._forget(wire)

    def _known(self, wire: Wire) -> Wire:
        with self._lock:
            self._wires.add(wire)
            if self._stopping.is_set():
                wire.wake()
        return wire

    def _forget(self, wire: Wire) -> None:
        with self._lock:
            self._wires.discard(wire)
        wire.close()

    def seen(self, head: Head) -> Request:
        """Take a request into the log."""
        method, target, _ = head.first.split(" ", 2)
        with self._lock:
            self._number += 1
            request = Request(number=self._number, method=method, target=target, range=head["Range"])
            self.traffic.requests[method] += 1
            self.traffic.log.append(request)
        return request

    def send(self, wire: Wire, raw: bytes, *, to_client: bool) -> None:
        """Send bytes, and count them."""
        with self._lock:
            if to_client:
                self.traffic.to_client += len(raw)
            else:
                self.traffic.to_server += len(raw)
        wire.send(raw)

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the proxy lives."""
        self._stopping.wait(seconds)


class _Exchange:
    """One request and its response."""

    def __init__(self, proxy: FaultProxy, client: Wire, server: Wire, head: Head) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._head = head
        self._request = proxy.seen(head)
        self._fault = proxy.plan(self._request) or Fault(kind=Kind.LATENCY)

    def run(self) -> bool:
        """Carry it out; return whether the connections are good for another one."""
        match self._fault.kind:
            case Kind.RESET:
                self._client.reset()
                return False
            case Kind.STATUS:
                self._drain(self._request_body())
                self._refuse()
                return True
            case Kind.HANG:
                self._proxy.pause(self._fault.seconds)
                return False
            case Kind.LATENCY:
                self._proxy.pause(self._fault.seconds)
        if not self._forward():
            self._server.reset()
            self._client.reset()
            return False
        return self._answer()

    def _request_body(self) -> Iterator[bytes]:
        if self._head["Expect"]:
            self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._client.request_body(self._head)

    def _forward(self) -> bool:
        """Send the request to the server; return whether all of it got through."""
        self._to_server(self._head.without("Expect").encoded())
        cut = self._cut(self._head) if self._fault.kind is Kind.RESET_IN_REQUEST else None
        for piece in self._request_body():
            if cut is not None and len(piece) >= cut:
                self._to_server(piece[:cut])
                return False
            self._to_server(piece)
            cut = cut if cut is None else cut - len(piece)
        return cut is None

    def _answer(self) -> bool:
        """Send the server's response to the client; return whether the connections are good for another."""
        head = self._server.head()
        body = self._server.response_body(head, method=self._request.method)
        match self._fault.kind:
            case Kind.LOST_RESPONSE:
                self._drain(body)
                self._client.reset()
                return False
            case Kind.FAILED_RESPONSE:
                self._drain(body)
                self._refuse()
                return not head.closes
            case Kind.WRONG_ETAG if head["ETag"]:
                head = head.having("ETag", '"of-another-version"')
        self._to_client(head.encoded())
        if not self._relay(body, head):
            return False
        return not head.closes and not self._head.closes

    def _relay(self, body: Iterator[bytes], head: Head) -> bool:
        """Send the response's body; return whether all of it got through."""
        kind = self._fault.kind
        breaks = kind in {Kind.RESET_IN_RESPONSE, Kind.TRUNCATED, Kind.HANG_IN_RESPONSE}
        cut = self._cut(head) if breaks else None
        for piece in self._slowly(body, head) if kind is Kind.TRICKLE else body:
            if cut is not None and len(piece) >= cut:
                self._to_client(piece[:cut])
                break
            self._to_client(piece)
            cut = cut if cut is None else cut - len(piece)
        if cut is None:
            return True
        if kind is Kind.HANG_IN_RESPONSE:
            self._proxy.pause(self._fault.seconds)
        if kind is Kind.RESET_IN_RESPONSE:
            self._proxy.pause(_ARRIVAL_SECONDS)
            self._client.reset()
        return False

    def _slowly(self, body: Iterator[bytes], head: Head) -> Iterator[bytes]:
        """Cut a body into small pieces with pauses between them."""
        length = int(head["Content-Length"] or 1)
        step = max(1, length // _TRICKLES)
        for piece in body:
            for start in range(0, len(piece), step):
                part = piece[start : start + step]
                self._proxy.pause(self._fault.seconds * len(part) / length)
                yield part

    def _cut(self, head: Head) -> int:
        """Return how many bytes of a body get through; never all of them."""
        return int(self._fault.after * int(head["Content-Length"] or 1))

    def _refuse(self) -> None:
        status = self._fault.status
        pause = f"Retry-After: {self._fault.seconds:.0f}\r\n" if status in {429, 503} else ""
        self._to_client(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{pause}Content-Length: 0\r\n\r\n".encode("latin-1")
        )

    def _to_client(self, raw: bytes) -> None:
        self._proxy.send(self._client, raw, to_client=True)

    def _to_server(self, raw: bytes) -> None:
        self._proxy.send(self._server, raw, to_client=False)

    @staticmethod
    def _drain(pieces: Iterable[bytes]) -> None:
        for _ in pieces:
            pass


def _connected(server: str) -> socket.socket:
    parts = urlsplit(server)
    assert parts.hostname
    connection = socket.create_connection((parts.hostname, parts.port or 80))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def fault_proxy(server: str, plan: FaultPlan = no_faults) -> Iterator[FaultProxy]:
    """Run a proxy before a server until the context ends."""
    proxy = FaultProxy(server, plan)
    try:
        yield proxy
    finally:
        proxy.close()
