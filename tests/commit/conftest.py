"""One small plan and what it makes, for all tests of committing."""

from pathlib import Path

import pytest

from distexpand.api import run_plan
from distexpand.plan.model import Plan
from tests.api.small import COPIES, small_model, small_plan, tree


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
