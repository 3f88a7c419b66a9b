"""One world for all pages."""

from collections.abc import Iterator

import pytest

from tests.docs.world import World, made_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("docs")) as world:
        yield world
