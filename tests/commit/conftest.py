"""One small plan and what it makes, for all tests of committing; a Hub as the place for it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from distexpand.api import run_plan
from distexpand.plan.model import Plan
from tests.api.small import COPIES, small_model, small_plan, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.commit.hub_runs import Output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "a")


@pytest.fixture(scope="module")
def plan(model: Path) -> Plan:
    return small_plan(COPIES, model)


@pytest.fixture(scope="module")
def expected(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("expected") / "out"
    run_plan(plan, output)
    return tree(output)


@pytest.fixture
def place(tmp_path: Path) -> "Iterator[Output]":
    """Return a place on a Hub on which nothing is yet, with a login that may write there."""
    from tests.commit.hub_runs import output_on_hub  # noqa: PLC0415  # needs the client library

    with output_on_hub(tmp_path) as output:
        yield output
