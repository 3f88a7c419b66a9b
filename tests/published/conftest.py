from collections.abc import Callable

import pytest

from distexpand.api import PlannedExpansion, plan_expansion
from tests.support.published import published
from tests.support.published_model import write_headers

Planning = Callable[..., PlannedExpansion]


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planning:
    """Plan ranges of a published model's layers, on request with fewer experts; headers are written once."""
    directory = tmp_path_factory.mktemp("published")

    def plan(name: str, *ranges: tuple[int, int], **fewer: int) -> PlannedExpansion:
        source = directory / "-".join((name, *fewer))
        if not source.exists():
            write_headers(source, published(name, **fewer))
        recipe = f"{{model: source, layer_map: {[list(pair) for pair in ranges]}}}"
        return plan_expansion(recipe, origin="recipe.yml", places={"source": str(source)})

    return plan
