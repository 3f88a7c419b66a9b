"""A source and a recipe for the Python API."""

from pathlib import Path

import pytest

from tests.api.small import BLOCKS, small_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "models" / "a")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yml"
    path.write_text(BLOCKS)
    return path
