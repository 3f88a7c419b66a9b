"""What all tests of archives have in common."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Sync nothing: it isn't seen before the power fails, and a crash may come there all the same."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
