"""Rules of models that no row knows by name: values that express the new order, or a refusal."""

import pytest

from distexpand.architecture.config.remap import LayerConfig, remap_config
from distexpand.architecture.layer_rules import table as layer_rules_table
from distexpand.architecture.layer_rules.any_model import RULES_OF_ANY_MODEL
from distexpand.architecture.layer_rules.table import RULES
from distexpand.architecture.stacks.stack import LayerStack
from distexpand.errors import ArchitectureError


def remap(config, count, order):
    stack = LayerStack(prefix="model.layers.", num_layers=count, count_path=("num_hidden_layers",))
    return remap_config(
        config, stack, [LayerConfig(config=config, stack=stack, layer=layer, origin="m") for layer in order]
    )


EXPRESSIBLE = [
    ({"first_k_dense_replace": 1}, {"first_k_dense_replace": 2}),
    ({"first_k_dense_replace": 2}, {"first_k_dense_replace": 3}),
    ({"num_dense_layers": 1}, {"num_dense_layers": 2}),
    ({"mlp_only_layers": [0]}, {"mlp_only_layers": [0, 1]}),
    ({"mlp_only_layers": []}, {"mlp_only_layers": []}),
    (
        {"decoder_sparse_step": 1, "mlp_only_layers": [1]},
        {"decoder_sparse_step": 1, "mlp_only_layers": [2]},
    ),
    ({"decoder_sparse_step": 2}, {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1, 3]}),
    ({"moe_layers": [2]}, {"moe_layers": [3]}),
    ({"moe_layers_enum": "1,2"}, {"moe_layers_enum": "2,3"}),
    ({"attn_layer_indices": [1]}, {"attn_layer_indices": [2]}),
    ({"full_attn_idxs": [0, 2]}, {"full_attn_idxs": [0, 1, 3]}),
    ({"local_layer_ids": [1]}, {"local_layer_ids": [2]}),
    ({"cross_attention_layers": [1]}, {"cross_attention_layers": [2]}),
    ({"hybrid_layer_ids": [1]}, {"hybrid_layer_ids": [2]}),
    ({"slstm_at": [1]}, {"slstm_at": [2]}),
    ({"attn_layer_period": 3, "attn_layer_offset": 1}, {"attn_layer_period": 5, "attn_layer_offset": 2}),
    (
        {"expert_layer_period": 3, "expert_layer_offset": 1},
        {"expert_layer_period": 5, "expert_layer_offset": 2},
    ),
    ({"num_kv_shared_layers": 1}, {"num_kv_shared_layers": 1}),
    ({"sliding_window_pattern": 3}, {"sliding_window_pattern": 4}),
    ({"full_attention_interval": 3}, {"full_attention_interval": 4}),
    ({"global_attn_every_n_layers": 3}, {"global_attn_every_n_layers": 4}),
    ({"layer_group_size": 3}, {"layer_group_size": 4}),
    ({"no_rope_layer_interval": 3}, {"no_rope_layer_interval": 4}),
    ({"scale_depth": 3.0}, {"scale_depth": 3.0 * (4 / 3) ** 0.5}),
    ({"scale_attn_by_inverse_layer_idx": False}, {"scale_attn_by_inverse_layer_idx": False}),
    ({"max_window_layers": 1, "use_sliding_window": True}, {"max_window_layers": 2}),
    ({"max_window_layers": 28, "use_sliding_window": False}, {"max_window_layers": 28}),
    (
        {"linear_attn_config": {"full_attn_layers": [3], "kda_layers": [1, 2]}},
        {"linear_attn_config": {"full_attn_layers": [4], "kda_layers": [1, 2, 3]}},
    ),
    ({"some_layer_indices": [0, 2]}, {"some_layer_indices": [0, 1, 3]}),
    ({"some_layer_indices": [2, 3]}, {"some_layer_indices": [3, 4]}),
]

REFUSED = [
    {"first_k_dense_replace": 1},
    {"num_dense_layers": 1},
    {"expert_layer_period": 2, "expert_layer_offset": 1},
    {"attn_layer_period": 2, "attn_layer_offset": 1},
    {"max_window_layers": 1, "use_sliding_window": True},
    {"scale_attn_by_inverse_layer_idx": True},
    {"sliding_window_pattern": 3},
    {"num_kv_shared_layers": 2},
    {"model_type": "diffllama"},
]


@pytest.mark.parametrize(("config", "expected"), EXPRESSIBLE, ids=str)
def test_rules_of_a_model_of_no_known_type_express_the_new_order(config, expected):
    result = remap({"num_hidden_layers": 3, **config}, 3, [0, 0, 1, 2]).config
    found = {key: result[key] for key in expected}
    assert found == (pytest.approx(expected) if "scale_depth" in config else expected)


@pytest.mark.parametrize("config", REFUSED, ids=str)
def test_an_order_that_no_value_expresses_is_refused(config):
    with pytest.raises(ArchitectureError, match="can't express the new order of layers: output layer"):
        remap({"num_hidden_layers": 4, **config}, 4, [0, 1, 2, 0, 1, 1, 2, 3])


def test_a_layer_that_stores_what_its_place_would_give_it_may_move():
    config = {
        "model_type": "minimax",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "linear_attention"],
    }
    stack = LayerStack(prefix="model.layers.", num_layers=2, count_path=("num_hidden_layers",))

    def remapped(tensors):
        layers = [
            LayerConfig(config=config, stack=stack, layer=layer, origin="m", tensors=tensors)
            for layer in (0, 1, 1)
        ]
        return remap_config(config, stack, layers).config

    assert remapped({"self_attn.slope_rate"})["layer_types"] == ["full_attention", *["linear_attention"] * 2]
    with pytest.raises(ArchitectureError, match="decay"):
        remapped({"self_attn.o_proj.weight"})


@pytest.mark.parametrize(
    ("every", "order", "found"),
    [
        (2, [0, 1, 1, 2, 3], ["2^1 at output layer 2, and by 2^0 at layer 1 "]),
        (2, [0, 0, 1, 2, 3], ["2^1 at output layer 2, and by 2^0 at layer 1 "]),
        (2, [0, 1, 2, 3, 3], ["2^2 at output layer 4, and by 2^1 at layer 3 "]),
        (2, [0, 1, 2, 3], []),
        (0, [0, 1, 1, 2, 3], []),
        (
            None,
            [0, 1, 1, 2, 3, 3, 3],
            ["2^1 at output layer 6, and by 2^0 at layer 3 "],
        ),
        (None, [0, 1, 1, 2, 3], []),
    ],
)
def test_a_stream_that_is_halved_otherwise_is_told(every, order, found):
    config = {"model_type": "rwkv", "num_hidden_layers": 4}
    config |= {} if every is None else {"rescale_every": every}
    findings = [finding.message for finding in remap(config, 4, order).findings]
    assert [part in message for part, message in zip(found, findings, strict=True)] == [True] * len(found)
    assert not remap({**config, "model_type": "llama"}, 4, order).findings


def outcome(config, count, order):
    try:
        return remap({"num_hidden_layers": count, **config}, count, order).config
    except ArchitectureError as error:
        return str(error)


def outcomes():
    said = [outcome(config, 3, [0, 0, 1, 2]) for config, _ in EXPRESSIBLE]
    return said + [outcome(config, 4, [0, 1, 2, 0, 1, 1, 2, 3]) for config in REFUSED]


@pytest.mark.parametrize("rule", RULES_OF_ANY_MODEL, ids=lambda rule: rule.name)
def test_no_row_of_any_model_can_be_lost(rule, monkeypatch):
    whole = outcomes()
    monkeypatch.setattr(layer_rules_table, "RULES", tuple(row for row in RULES if row is not rule))
    assert outcomes() != whole


def test_a_refusal_says_which_orders_near_by_work():
    config = {"num_hidden_layers": 12, "sliding_window_pattern": 6}
    with pytest.raises(ArchitectureError) as refused:
        remap(config, 12, [*range(9), *range(4, 12)])
    assert "[0, 9], [3, 12]" in refused.value.hint
    remap(config, 12, [*range(9), *range(3, 12)])


@pytest.mark.parametrize(
    "config",
    [
        {"some_layer_indices": [1]},
        {"strange_pattern": "ab"},
        {"gadget_layer_period": 3},
    ],
    ids=str,
)
def test_what_may_speak_of_layers_and_is_not_known_is_kept_and_reported(config):
    result = remap({"num_hidden_layers": 3, **config}, 3, [0, 1, 1, 2])
    assert [finding.code for finding in result.findings] == ["config-rule"]
    assert result.config == {"num_hidden_layers": 4, **config}
