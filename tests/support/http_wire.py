"""HTTP/1.1 on a socket, as far as a proxy has to understand it: heads, and how long bodies are.

Python's own classes hide when a connection is cut and how much has gone by, which is all that
matters here.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

_READ_BYTES = 1 << 16
_LONGEST_HEAD = 1 << 16
_WITHOUT_BODY = {204, 304}


class ClosedError(Exception):
    """The other end closed the connection, or broke it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """First line and header lines of a request or response."""

    first: str
    lines: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        return next((value for key, value in self.lines if key.lower() == name.lower()), "")

    def without(self, name: str) -> "Head":
        """Return the head without a header."""
        kept = tuple((key, value) for key, value in self.lines if key.lower() != name.lower())
        return Head(first=self.first, lines=kept)

    def having(self, name: str, value: str) -> "Head":
        """Return the head with another value of a header."""
        return Head(first=self.first, lines=(*self.without(name).lines, (name, value)))

    def encoded(self) -> bytes:
        """Return the bytes that go over the wire."""
        text = "".join(f"{key}: {value}\r\n" for key, value in self.lines)
        return f"{self.first}\r\n{text}\r\n".encode("latin-1")

    @property
    def status(self) -> int:
        """A response's status."""
        return int(self.first.split(" ")[1])

    @property
    def closes(self) -> bool:
        """Whether the sender closes the connection after this message."""
        return self["Connection"].lower() == "close"


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._held = b""

    def head(self) -> Head:
        """Read the head of the next message.

        Raises:
            ClosedError: there is none.
        """
        while b"\r\n\r\n" not in self._held:
            if len(self._held) > _LONGEST_HEAD:
                raise ClosedError
            self._held += self._receive()
        raw, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        named = (line.partition(":") for line in lines)
        return Head(first=first, lines=tuple((name, value.strip()) for name, _, value in named))

    def request_body(self, head: Head) -> Iterator[bytes]:
        """Yield a request's body as it arrives, as it is on the wire.

        Raises:
            ClosedError: it breaks off.
        """
        if head["Transfer-Encoding"].lower() == "chunked":
            return self._chunks()
        return self._exactly(int(head["Content-Length"] or 0))

    def response_body(self, head: Head, *, method: str) -> Iterator[bytes]:
        """Yield a response's body as it arrives, as it is on the wire.

        Raises:
            ClosedError: it breaks off.
        """
        if method == "HEAD" or head.status in _WITHOUT_BODY:
            return iter(())
        if head["Transfer-Encoding"].lower() == "chunked":
            return self._chunks()
        if head["Content-Length"]:
            return self._exactly(int(head["Content-Length"]))
        return self._until_closed()

    def send(self, raw: bytes) -> None:
        """Send bytes.

        Raises:
            ClosedError: nobody takes them.
        """
        try:
            self._socket.sendall(raw)
        except OSError:
            raise ClosedError from None

    def reset(self) -> None:
        """Break the connection, as a machine does that was switched off in between."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Close the connection in order: what was sent arrives."""
        self._socket.close()

    def wake(self) -> None:
        """End what another thread waits for on this connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> bytes:
        try:
            raw = self._socket.recv(_READ_BYTES)
        except OSError:
            raise ClosedError from None
        if not raw:
            raise ClosedError
        return raw

    def _take(self, most: int) -> bytes:
        held = self._held or self._receive()
        self._held = held[most:]
        return held[:most]

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._take(length)
            length -= len(piece)
            yield piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._held:
            self._held += self._receive()
        line, _, self._held = self._held.partition(b"\r\n")
        return line + b"\r\n"

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self._line()
            yield size
            length = int(size.split(b";")[0], 16)
            yield from self._exactly(length)
            if length:
                yield self._line()
                continue
            while (trailer := self._line()) != b"\r\n":
                yield trailer
            yield trailer
            return

    def _until_closed(self) -> Iterator[bytes]:
        try:
            while True:
                yield self._take(_READ_BYTES)
        except ClosedError:
            return
