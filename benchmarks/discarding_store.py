"""A server that takes multipart uploads and keeps nothing: what is left is what a client takes.

python -m benchmarks.discarding_store
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, urlsplit

_PIECE_BYTES = 1 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers = count()

    def setup(self) -> None:
        super().setup()
        self.buffer = memoryview(bytearray(_PIECE_BYTES))

    def do_PUT(self) -> None:  # as the library calls it
        left = int(self.headers["Content-Length"])
        while left:
            taken = self.connection.recv_into(self.buffer, min(left, _PIECE_BYTES)) if left else 0
            if not taken:
                return
            left -= taken
        self._answer(ETag='"of-a-part"')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "uploads" in parse_qs(urlsplit(self.path).query, keep_blank_values=True):
            self._answer(
                f"<InitiateMultipartUploadResult><UploadId>{next(self.numbers)}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        else:
            self._answer("<CompleteMultipartUploadResult/>")

    def do_DELETE(self) -> None:
        self._answer()

    def handle_expect_100(self) -> bool:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _answer(self, body: str = "", **headers: str) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> int:
    # Unbuffered reading: the bodies are taken from the connection itself.
    _Handler.rbufsize = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
