"""Every published recipe, planned against headers of its sources' true shapes."""

from pathlib import Path

import pytest

from distexpand.api import PlannedExpansion, plan_expansion
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.parse import parse_recipe
from tests.recipe.published import PUBLISHED, Published
from tests.support.shapes import family
from tests.support.sparse import write_checkpoint

_CHANGES = {"llama3.1-405b": {"num_key_value_heads": 16}}
_ROUNDED_AS_PUBLISHED = 0.02


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published-sources")


def planned(row: Published, sources: Path) -> PlannedExpansion:
    shape = family(row.family, num_layers=row.source_layers, **_CHANGES.get(row.family, {}))
    source = sources / f"{row.family}-{row.source_layers}"
    if not source.exists():
        write_checkpoint(source, shape)
    default = ModelRef(name=row.default_model) if row.default_model else None
    models = parse_recipe(row.text, origin=row.file, default_model=default).models
    places = {"": str(source)} if default else {str(model): str(source) for model in models}
    return plan_expansion(row.text, origin=row.file, places=places)


@pytest.mark.parametrize("row", PUBLISHED.values(), ids=PUBLISHED.keys())
def test_layers_and_parameters_are_the_published_ones(row: Published, sources: Path) -> None:
    made = planned(row, sources)
    assert len(made.plan.layers) == row.layers
    assert made.layers_before == row.source_layers
    assert made.plan.parameters == pytest.approx(row.parameters_billion * 1e9, rel=_ROUNDED_AS_PUBLISHED)
    assert f'"num_hidden_layers": {row.layers}' in made.plan.texts[0].text


def test_a_trillion_parameters_say_which_layer_is_lost(sources: Path) -> None:
    findings = planned(PUBLISHED["bigllama-3.1-1t"], sources).findings
    assert [(finding.code, "209" in finding.message) for finding in findings] == [("dropped-layers", True)]


def test_goliath_loses_no_depth(sources: Path) -> None:
    assert "dropped-layers" not in {
        finding.code for finding in planned(PUBLISHED["goliath-120b"], sources).findings
    }
