"""The environment by which clients of object stores find server and credentials, as a test wants it."""

import os
from collections.abc import Mapping

import pytest

_READ_BY_CLIENTS = ("AWS_", "AZURE_", "GOOGLE_")
_OF_THE_NETWORK = {
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
}


def set_store_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Let clients see these variables, and nothing that the tests' user or machine has set up."""
    for name in os.environ:
        if name.startswith(_READ_BY_CLIENTS) or name.upper() in _OF_THE_NETWORK:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
