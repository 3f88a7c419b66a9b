"""Addresses that lead nowhere: a reason, at once, and nothing of what is secret in them."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.cli.calls import call
from tests.support import free_ports


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web_server() -> Iterator[int]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://head:10001", "Ray Client would run the driver on this machine"),
        ("ftp://head:8265", "not an address of the Jobs API"),
        ("http://user:hunter2@head:8265", "holds a user name or password"),
        ("head", "not an address"),
        ("", "which cluster?"),
    ],
)
def test_what_can_be_no_address(address: str, told: str) -> None:
    refused = call("jobs", "list", "--address", address)
    assert refused.code == 2
    assert told in refused.err
    assert "http://HEAD:8265" in refused.err or "RAY_AUTH_TOKEN" in refused.err
    assert "hunter2" not in refused.err


@pytest.mark.parametrize("spelling", ["http://127.0.0.1:{}", "127.0.0.1:{}"])
def test_where_nothing_answers(spelling: str) -> None:
    address = spelling.format(free_ports.find())
    away = call("jobs", "list", "--address", address, "--json")
    assert away.code == 1
    assert away.document["error"]["kind"] == "ClusterAwayError"
    assert f"{address}: no Ray cluster answers there" in away.document["error"]["message"]


def test_where_something_else_answers(web_server: int) -> None:
    for spelling in ("http://127.0.0.1:{}/", "127.0.0.1:{}"):
        other = call("jobs", "list", "--address", spelling.format(web_server))
        assert other.code == 2
        assert "what answers there isn't a Ray dashboard" in other.err


def test_a_given_address_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    given = f"http://127.0.0.1:{free_ports.find()}"
    assert given in call("jobs", "list", "--address", given).err
    assert "http://127.0.0.1:1:" in call("jobs", "list").err
