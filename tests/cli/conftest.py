"""A source, a recipe and the command line."""

from pathlib import Path

import pytest

from tests.api.small import BLOCKS, small_model
from tests.cli.calls import Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "models" / "a")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yml"
    path.write_text(BLOCKS)
    return path
