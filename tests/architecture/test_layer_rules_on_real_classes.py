"""Rules on the real config classes: every output layer is built like its source layer, or it is refused."""

import copy
import json
from functools import cache
from typing import Any

import pytest

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.layer_rules import table as layer_rules_table
from distexpand.architecture.layer_rules.rule import LayerRule
from distexpand.architecture.layer_rules.table import RULES
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError
from tests.architecture.layer_cases import CASES, Case

transformers = pytest.importorskip("transformers")

from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

from tests.support.architectures import tiny_config  # noqa: E402
from tests.support.layer_signatures import layer_signatures, on_meta  # noqa: E402


@cache
def config_of(number: int) -> dict[str, Any]:
    case = CASES[number]
    config = tiny_config(case.model_type, case.layers, **case.changes).to_dict()
    kept = {key: value for key, value in config.items() if key not in case.drop}
    return json.loads(json.dumps({**kept, **case.raw}, default=str))


def remapped(case: Case, config: dict[str, Any]) -> dict[str, Any]:
    stack = LayerStack(
        prefix=case.prefix, num_layers=case.layers, count_path=(case.count,), blocks=case.blocks
    )
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in case.order]
    return remap_config(config, stack, layers).config


def built(case: Case, config: dict[str, Any]) -> list[Any]:
    """Return what the real class makes of each layer."""
    real = CONFIG_MAPPING[case.model_type].from_dict(copy.deepcopy(config))
    if case.made:
        name, stack = case.made
        return layer_signatures(on_meta(getattr(transformers, name), real), stack)
    return list(zip(*(getattr(real, key) for key in case.lists), strict=True))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number]))
def test_every_layer_is_what_its_source_layer_was(number: int) -> None:
    case, config = CASES[number], config_of(number)
    if case.refused:
        with pytest.raises(ArchitectureError, match=case.refused):
            remapped(case, config)
        return
    before = built(case, config)
    assert len(before) == case.layers
    assert built(case, remapped(case, config)) == [before[layer] for layer in case.order]


@pytest.fixture(scope="module")
def outcomes() -> dict[int, Any]:
    return {number: outcome(number) for number in range(len(CASES))}


def outcome(number: int) -> Any:
    try:
        return remapped(CASES[number], config_of(number))
    except ArchitectureError as error:
        return str(error)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.models], ids=lambda rule: rule.name)
def test_no_row_can_be_lost(
    rule: LayerRule, outcomes: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_rules_table, "RULES", tuple(row for row in RULES if row is not rule))
    mine = [number for number, case in enumerate(CASES) if case.model_type in rule.models]
    assert any(outcome(number) != outcomes[number] for number in mine)


NOT_TINY = {"dots3_note", "glm5_next", "glm5_next_text", "inkling2", "unlimited_ocr", "zamba"}
"""Model types whose class refuses the tiny config, or its default list, at these depths."""


@pytest.mark.parametrize("depth", [7, 16])
@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.overruled_by and rule.models], ids=lambda r: r.what
)
def test_every_formula_is_that_of_its_class(rule: LayerRule, depth: int) -> None:
    for model_type in sorted(rule.models - NOT_TINY):
        config_class = CONFIG_MAPPING[model_type]
        config = tiny_config(model_type, depth).to_dict()
        config = {key: value for key, value in config.items() if key not in {rule.overruled_by, *rule.keys}}
        if "num_hidden_layers" in config:
            made = getattr(config_class.from_dict(copy.deepcopy(config)), rule.overruled_by)
            assert list(rule.facts(config, len(made))) == made, model_type
