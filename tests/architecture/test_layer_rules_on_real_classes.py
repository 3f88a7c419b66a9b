"""Rules on the real config classes: every output layer is built like its source layer, or it is refused."""

import copy
import json
from typing import Any

import pytest

from distexpand.architecture import layer_rules_table
from distexpand.architecture.config_remap import LayerConfig, remap_config
from distexpand.architecture.layer_rules import LayerRule
from distexpand.architecture.layer_rules_table import RULES
from distexpand.architecture.stack import LayerStack
from distexpand.errors import ArchitectureError
from tests.architecture.layer_cases import CASES, Case

transformers = pytest.importorskip("transformers")

from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

from tests.support.architectures import tiny_config  # noqa: E402
from tests.support.layer_signatures import layer_signatures, on_meta  # noqa: E402


def config_of(case: Case) -> dict[str, Any]:
    config = tiny_config(case.model_type, case.layers, **case.changes).to_dict()
    kept = {key: value for key, value in config.items() if key not in case.drop}
    return json.loads(json.dumps({**kept, **case.raw}, default=str))


def remapped(case: Case, config: dict[str, Any]) -> dict[str, Any]:
    stack = LayerStack(prefix=case.prefix, num_layers=case.layers, count_path=(case.count,))
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in case.order]
    return remap_config(config, stack, layers).config


def built(case: Case, config: dict[str, Any]) -> list[Any]:
    """Return what the real class makes of each layer."""
    real = CONFIG_MAPPING[case.model_type].from_dict(copy.deepcopy(config))
    if case.made:
        name, stack = case.made
        return layer_signatures(on_meta(getattr(transformers, name), real), stack)
    return list(zip(*(getattr(real, key) for key in case.lists), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_is_what_its_source_layer_was(case: Case) -> None:
    config = config_of(case)
    if case.refused:
        with pytest.raises(ArchitectureError, match=case.refused):
            remapped(case, config)
        return
    before = built(case, config)
    assert len(before) == case.layers
    assert built(case, remapped(case, config)) == [before[layer] for layer in case.order]


@pytest.fixture(scope="module")
def outcomes() -> dict[int, Any]:
    return {number: outcome(case) for number, case in enumerate(CASES)}


def outcome(case: Case) -> Any:
    try:
        return remapped(case, config_of(case))
    except ArchitectureError as error:
        return str(error)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.models], ids=lambda rule: rule.name)
def test_no_row_can_be_lost(
    rule: LayerRule, outcomes: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_rules_table, "RULES", tuple(row for row in RULES if row is not rule))
    mine = [number for number, case in enumerate(CASES) if case.model_type in rule.models]
    assert any(outcome(CASES[number]) != outcomes[number] for number in mine)


@pytest.mark.parametrize("depth", [7, 16])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.overruled_by and rule.models], ids=str)
def test_every_formula_is_that_of_its_class(rule: LayerRule, depth: int) -> None:
    known = [model for model in rule.models if model in CONFIG_MAPPING]
    assert known
    for model_type in sorted(known):
        try:
            config = tiny_config(model_type, depth).to_dict()
        except Exception:  # noqa: BLE001, S112  # a class that can't be had at this depth
            continue
        dropped = {rule.overruled_by, *(rule.keys if rule.overruled_by == "layer_types" else ())}
        config = {key: value for key, value in config.items() if key not in dropped}
        if "num_hidden_layers" not in config:
            continue
        try:
            real = CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(config))
        except Exception:  # noqa: BLE001, S112
            continue
        made = getattr(real, rule.overruled_by)
        assert list(rule.facts(config, len(made))) == made, model_type
