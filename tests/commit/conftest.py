"""One small plan and what it makes, for all tests of committing, and places for it: a Hub, object stores."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from distexpand.api import run_plan
from distexpand.planning.model import Plan
from distexpand.storage.address import Address
from tests.api.small import COPIES, small_model, small_plan, tree
from tests.commit.store_places import Place

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
def hub_place(tmp_path: Path) -> "Iterator[Output]":
    """Return a place on a Hub on which nothing is yet, with a login that may write there."""
    from tests.commit.hub_runs import output_on_hub  # noqa: PLC0415  # needs the client library

    with output_on_hub(tmp_path) as output:
        yield output


@pytest.fixture(params=["s3", "az"])
def new_place(request: pytest.FixtureRequest) -> Callable[[], Place]:
    """Return a function that returns an empty folder, of S3 and of Azure in turn."""
    server = request.getfixturevalue("seaweedfs" if request.param == "s3" else "azurite")
    request.getfixturevalue("bucket" if request.param == "s3" else "container")
    new_root = server.new_bucket if request.param == "s3" else server.new_container
    numbers = count()

    def new() -> Place:
        path = f"models/out {next(numbers)}"
        return Place(Address(scheme=request.param, root=new_root(), path=path), server)

    return new


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()
