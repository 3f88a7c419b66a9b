"""A real browser, the system's Chromium, without network."""

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Yield the browser; while it runs, nothing else in this process can use asyncio."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium here")
    # Root, as in a container, gets no sandbox; what is shown are pages of these tests alone.
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=options)
        yield started
        started.close()
