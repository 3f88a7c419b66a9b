"""The real client library, pointed at a server of the tests as its environment variables would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import close_session, constants
from huggingface_hub.utils import _detect_agent, _http

from tests.support.hub_server.server import HubServer


@contextmanager
def connected(
    server: HubServer, home: Path, *, token: str = "", xet: bool = False, offline: bool = False
) -> Iterator[None]:
    """Be a process whose environment names the server; the library reads most of it when it is imported."""
    home.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
            patch.delenv(name)
        for name, value in environment(server, home, token=token).items():
            patch.setenv(name, value)
        patch.setattr(constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HOME", str(home))
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_XET_CACHE", str(home / "xet"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
        patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        patch.setattr(_detect_agent, "_registry", {"standardEnvVars": [], "harnesses": {}})
        patch.setattr(_http, "_HUB_ORIGINS", frozenset({_http._url_origin(server.endpoint)}))
        patch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _client)
        close_session()
        try:
            yield
        finally:
            close_session()


def _client() -> httpx2.Client:
    """Return a client as the library's own, but that reads no certificates: a tenth of a second per test."""
    hooks = {"request": [_http.hf_request_event_hook]}
    return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None, verify=False)


def environment(server: HubServer, home: Path, *, token: str = "") -> dict[str, str]:
    """Return the variables that point a process of its own at the server."""
    return {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        **({"HF_TOKEN": token} if token else {}),
    }
