"""Rules whose keys mean the same wherever they occur: what a model of an unknown type is taken to say.

A row counts where no row of the model's own type speaks of its key.
"""

from typing import Any

from distexpand.architecture.layer_rules.bonds import divided_by_root_of_depth, own_index, shared_tail
from distexpand.architecture.layer_rules.kinds import (
    every,
    from_on,
    index_text,
    indices,
    leading,
    periodic,
    sparse_steps,
)
from distexpand.architecture.layer_rules.rule import Kind, LayerRule

_MLP, _ATTENTION = "feed-forward part", "attention"


def _row(what: str, kind: Kind, keys: dict[str, Any], **more: Any) -> LayerRule:
    return LayerRule(what=what, keys=keys, kind=kind, **more)


RULES_OF_ANY_MODEL = (
    _row(_MLP, leading("first_k_dense_replace", "dense", "MoE"), {"first_k_dense_replace": 0}),
    _row(_MLP, leading("num_dense_layers", "dense", "MoE"), {"num_dense_layers": 0}),
    _row(
        _MLP,
        sparse_steps("decoder_sparse_step", "mlp_only_layers", "num_experts"),
        {"decoder_sparse_step": 1, "mlp_only_layers": None, "num_experts": 1},
    ),
    _row(_MLP, indices("mlp_only_layers", "dense", "as the rule says"), {"mlp_only_layers": None}),
    _row(
        _MLP,
        index_text("moe_layers_enum", "MoE", "dense"),
        {"moe_layers_enum": None},
        overruled_by="mlp_layer_types",
    ),
    _row(_MLP, indices("moe_layers", "MoE", "dense"), {"moe_layers": None}),
    _row(
        _MLP,
        periodic("expert_layer_period", "expert_layer_offset", "MoE", "dense"),
        {"expert_layer_period": 2, "expert_layer_offset": 1},
    ),
    _row(
        _ATTENTION,
        periodic("attn_layer_period", "attn_layer_offset", "attention", "other"),
        {"attn_layer_period": 8, "attn_layer_offset": 4},
    ),
    _row(_ATTENTION, indices("attn_layer_indices", "attention", "other"), {"attn_layer_indices": None}),
    _row(_ATTENTION, indices("full_attn_idxs", "full", "other"), {"full_attn_idxs": None}),
    _row(_ATTENTION, indices("local_layer_ids", "local", "other"), {"local_layer_ids": None}),
    _row(
        "cross-attention",
        indices("cross_attention_layers", "yes", "no"),
        {"cross_attention_layers": None},
    ),
    _row("mixer", indices("hybrid_layer_ids", "hybrid", "plain"), {"hybrid_layer_ids": None}),
    _row("mixer", indices("slstm_at", "sLSTM", "mLSTM"), {"slstm_at": None}),
    _row(
        _ATTENTION,
        indices("linear_attn_config.full_attn_layers", "full", "linear", base=1),
        {"linear_attn_config.full_attn_layers": None},
    ),
    _row(
        _ATTENTION,
        indices("linear_attn_config.kda_layers", "linear", "full", base=1),
        {"linear_attn_config.kda_layers": None},
    ),
    _row(
        "cache",
        shared_tail("num_kv_shared_layers", "layer_types"),
        {"num_kv_shared_layers": 0, "layer_types": None},
    ),
    _row(
        "own index",
        own_index("scale_attn_by_inverse_layer_idx"),
        {"scale_attn_by_inverse_layer_idx": False},
    ),
    _row("residual scale", divided_by_root_of_depth("scale_depth"), {"scale_depth": None}),
    *(
        _row(_ATTENTION, every(key, "global", "local"), {key: 1}, overruled_by="layer_types")
        for key in (
            "sliding_window_pattern",
            "full_attention_interval",
            "global_attn_every_n_layers",
            "layer_group_size",
        )
    ),
    _row(
        "use of positions",
        every("no_rope_layer_interval", "without", "with"),
        {"no_rope_layer_interval": 1},
        overruled_by="no_rope_layers",
    ),
    _row(
        _ATTENTION,
        from_on("max_window_layers", ("use_sliding_window",), "window", "full"),
        {"max_window_layers": 0, "use_sliding_window": False},
        overruled_by="layer_types",
    ),
)
