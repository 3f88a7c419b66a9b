"""Values that no rule can have, under every key that a rule reads: refused or kept, never a crash."""

from contextlib import suppress

import pytest

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.layer_rules.paths import put
from distexpand.architecture.layer_rules.table import RULES
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError

ODD = (
    *(None, 0, -1, 2.5, True, "x", "", "3", "²", 10**30, float("inf"), [], [1], ["a"], [[1]], [None], {}),
    *({"a": 1}, {"²": 1, "0": 2}, [10**30], [0.5, 1.5, 2.5, 3.5], ["x"] * 4, [[1]] * 4, [{}] * 4),
)


def remap(config, count, order):
    stack = LayerStack(prefix="model.layers.", num_layers=count, count_path=("num_hidden_layers",))
    layers = [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in order]
    return remap_config(config, stack, layers).config


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name}-{min(rule.models, default='any')}")
def test_odd_values_are_refused_or_kept(rule):
    keys = {*rule.keys, rule.overruled_by} - {"", "num_hidden_layers"}
    for key in sorted(keys):
        for value in ODD:
            config = {"num_hidden_layers": 4, "model_type": min(rule.models, default="some")}
            for other, usual in {**rule.keys, key: value}.items():
                if other != "num_hidden_layers":
                    put(config, other, usual)
            with suppress(ArchitectureError):
                assert remap(config, 4, [0, 1, 1, 2, 3])["num_hidden_layers"] == 5


def test_the_refusal_says_which_value_it_is():
    config = {"num_hidden_layers": 4, "model_type": "jamba", "expert_layer_period": 0}
    with pytest.raises(
        ArchitectureError, match=r"'expert_layer_period': 0.* doesn't say what the feed-forward"
    ):
        remap(config, 4, [0, 1, 1, 2, 3])


def test_a_rule_that_a_list_overrules_may_be_odd():
    config = {"num_hidden_layers": 2, "sliding_window_pattern": [1], "layer_types": ["a", "b"]}
    assert remap(config, 2, [0, 0, 1])["layer_types"] == ["a", "a", "b"]


def test_no_window_is_not_the_window_that_a_class_has_by_itself():
    config = {
        "num_hidden_layers": 4,
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": None,
        "max_window_layers": 2,
    }
    assert remap(config, 4, [0, 1, 2, 3] * 2) == {**config, "num_hidden_layers": 8}


@pytest.mark.parametrize("value", [None, [1], {}, 3])
def test_a_model_type_that_is_no_text_is_none_that_is_known(value):
    config = {"num_hidden_layers": 2, "num_layers": 2, "model_type": value}
    assert remap(config, 2, [0, 0, 1])["num_hidden_layers"] == 3


def test_a_config_nested_too_deeply_is_refused():
    inner: dict[str, object] = {}
    config = {"num_hidden_layers": 2, "x": inner}
    for _ in range(2000):
        inner["a"] = inner = {}
    with pytest.raises(ArchitectureError, match="nested too deeply"):
        remap(config, 2, [0, 0, 1])
