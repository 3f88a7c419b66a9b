"""Lists by layer that a config class makes up where its config has none.

An old config of such a model says nothing, or a period, and the class makes a
list of it by the layers' places. One row per list and formula; where the
formula doesn't give a new order, the list is written into the config.
"""

from typing import Any

from distexpand.architecture.layer_rules import formulas as made
from distexpand.architecture.layer_rules.formulas import FULL, LINEAR, SLIDING, formula
from distexpand.architecture.layer_rules.kinds import (
    every,
    from_on,
    indices_or,
    leading,
    leading_with_step,
)
from distexpand.architecture.layer_rules.rule import Kind, LayerRule

_WINDOW = {"max_window_layers": 28, "use_sliding_window": False, "sliding_window": 4096}
_NULLABLE = frozenset({"sliding_window"})
"""Null is no window, for which a class has a default too."""

_AFTER = from_on("max_window_layers", ("use_sliding_window", "sliding_window"), SLIDING, FULL)
_REUSE: dict[str, Any] = {"index_topk_pattern": None, "index_topk_freq": 1, "index_skip_topk_offset": 2}
_FROM = "first_k_dense_replace"


def _row(overruled_by: str, models: str, kind: Kind, /, keys: dict[str, Any] | None = None) -> LayerRule:
    return LayerRule(
        what=_DECIDES[overruled_by],
        keys=keys or {},
        kind=kind,
        models=frozenset(models.split()),
        overruled_by=overruled_by,
        nullable=_NULLABLE.intersection(keys or ()),
    )


def _types(models: str, kind: Kind, **keys: Any) -> LayerRule:
    return _row("layer_types", models, kind, keys)


def _mlp(models: str, kind: Kind, **keys: Any) -> LayerRule:
    return _row("mlp_layer_types", models, kind, keys)


def _each(period: int, hit: str = FULL, miss: str = SLIDING, *, shift: int = 1) -> Kind:
    return formula(lambda _, i, __: miss if (i + shift) % period else hit)


def _first(count: int) -> Kind:
    return formula(lambda _, i, __: "dense" if i < count else "sparse")


_DECIDES = {
    "layer_types": "attention",
    "layers_block_type": "mixer",
    "mlp_layer_types": "feed-forward part",
    "no_rope_layers": "use of positions",
    "indexer_types": "index",
    "activation_sparsity_pattern": "sparsity",
    "layer_rope_theta": "base of positions",
}

LIST_RULES = (
    _row(
        "no_rope_layers",
        "llama4 llama4_text smollm3 mistral_large4 mistral_large4_text",
        formula(lambda v, i, _: int((i + 1) % v["no_rope_layer_interval"] != 0)),
        {"no_rope_layer_interval": 4},
    ),
    _types("afmoe", every("global_attn_every_n_layers", FULL, SLIDING), global_attn_every_n_layers=4),
    _types("bailing_hybrid", every("layer_group_size", FULL, LINEAR), layer_group_size=6),
    _types("beam", formula(lambda _, i, n: SLIDING if (i + 1) % 6 and i != n - 1 else FULL)),
    _types("cohere2", every("sliding_window_pattern", FULL, SLIDING), sliding_window_pattern=4),
    _types(
        "cohere2_moe",
        formula(made.pattern_after_prefix),
        first_k_dense_replace=0,
        sliding_window_pattern=4,
        prefix_dense_sliding_window_pattern=1,
    ),
    _types("deepseek_v4", formula(made.compressed_type), compress_ratios=None),
    _types("cwm granite_swa granitemoe_swa", _each(4, shift=0)),
    _types(
        "dots3_note dots3_note_text",
        formula(lambda _, i, __: "indexed_attention" if i < 2 or i % 4 == 1 else SLIDING),  # noqa: PLR2004
    ),
    _row(
        "layer_types",
        "dots1",
        _AFTER,
        {"max_window_layers": 62, "use_sliding_window": True, "sliding_window": None},
    ),
    _row(
        "layer_types",
        "qwen2 qwen3 qwen2_5_omni_text qwen2_5_omni_talker",
        _AFTER,
        _WINDOW,
    ),
    _row(
        "layer_types",
        "qwen2_vl qwen2_vl_text qwen2_5_vl qwen2_5_vl_text",
        _AFTER,
        _WINDOW | {"max_window_layers": 80},
    ),
    _row("layer_types", "qwen2_moe", formula(made.window_before), _WINDOW),
    _types("exaone4 exaone_moe", every("sliding_window_pattern", FULL, SLIDING), sliding_window_pattern=4),
    _types(
        "flint",
        formula(lambda _, i, n: FULL if i < 2 or i % 4 == 1 or i == n - 1 else SLIDING),  # noqa: PLR2004
    ),
    _types("gemma2 vaultgemma gpt_oss t5_gemma_module", _each(2)),
    _types(
        "gemma3 gemma3_text t5gemma2_text t5gemma2_decoder",
        every("sliding_window_pattern", FULL, SLIDING),
        sliding_window_pattern=6,
    ),
    _types("gemma3n gemma3n_text kolibri1", _each(5)),
    _types(
        "gemma4 gemma4_text gemma4_unified gemma4_unified_text diffusion_gemma diffusion_gemma_text",
        formula(lambda _, i, n: SLIDING if (i + 1) % 6 and i != n - 1 else FULL),
    ),
    _types("glm5_next glm5_next_text", _each(4, "indexed_attention", LINEAR)),
    _types("inkling2 inkling2_text", _each(6, "hybrid", "hybrid_sliding")),
    _types(
        "inkling_mm_model inkling_text",
        indices_or(
            "local_layer_ids", lambda _, n: [i for i in range(n) if (i + 1) % 6], "hybrid_sliding", "hybrid"
        ),
        local_layer_ids=None,
    ),
    _row(
        "layer_types",
        "kimi_linear",
        made.kimi_linear_types("linear_attn_config.full_attn_layers"),
        {"linear_attn_config.full_attn_layers": None},
    ),
    _types(
        "lfm3",
        formula(lambda _, i, __: FULL if i % 4 == 2 else SLIDING if i % 4 == 0 and i else "conv"),  # noqa: PLR2004
    ),
    _types("mimo_v2_flash", formula(lambda _, i, __: SLIDING if i and (i + 1) % 6 else FULL)),
    _types(
        "modernbert modernbert-decoder",
        every("global_attn_every_n_layers", FULL, SLIDING, shift=0),
        global_attn_every_n_layers=3,
    ),
    _types(
        "muse_glimmer_text muse_spark_text", formula(lambda _, i, n: SLIDING if (n - 1 - i) % 4 else FULL)
    ),
    _types("dory olmo3", _each(4)),
    _types("olmo_hybrid", formula(lambda _, i, n: FULL if i % 4 == 3 or (n < 4 and i == n - 1) else LINEAR)),  # noqa: PLR2004
    _types(
        "qwen3_next qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text",
        every("full_attention_interval", FULL, LINEAR),
        full_attention_interval=4,
    ),
    _types(
        "qwen4_exp qwen4_exp_text",
        every("full_attention_interval", "indexed_attention", LINEAR),
        full_attention_interval=4,
    ),
    _row(
        "layers_block_type",
        "zamba",
        formula(made.zamba_type),
        {"attn_layer_period": 6, "attn_layer_offset": 4},
    ),
    _mlp(
        "axk1 axk2",
        leading_with_step(_FROM, "moe_layer_freq", "dense", "sparse"),
        first_k_dense_replace=1,
        moe_layer_freq=1,
    ),
    _mlp("dots3_note dots3_note_text", formula(made.sparse_dots3), first_k_dense_replace=1, moe_layer_freq=1),
    _mlp("bailing_hybrid", leading(_FROM, "dense", "sparse"), first_k_dense_replace=2),
    _mlp("cohere2_moe", leading(_FROM, "dense", "sparse"), first_k_dense_replace=0),
    _mlp("deepseek_v32 glm_moe_dsa", leading(_FROM, "dense", "sparse"), first_k_dense_replace=3),
    _mlp(
        "exaone_moe kimi_linear mistral_large4 mistral_large4_text unlimited_ocr unlimited_ocr_text",
        leading(_FROM, "dense", "sparse"),
        first_k_dense_replace=1,
    ),
    _mlp(
        "glm4_moe_lite hy_v3 hy_v4 laguna mimo_v2_flash ernie4_5_vl_moe ernie4_5_vl_moe_text",
        _first(1),
    ),
    _mlp("glm5_next glm5_next_text", _first(3)),
    _mlp("deepseek_v4", leading("num_hash_layers", "hash_moe", "moe"), num_hash_layers=3),
    _mlp("inkling_mm_model inkling_text", leading("dense_mlp_idx", "dense", "sparse"), dense_mlp_idx=0),
    _row(
        "indexer_types",
        "glm_moe_dsa glm5_next glm5_next_text mistral_large4 mistral_large4_text",
        formula(made.index_reuse),
        _REUSE,
    ),
    _row(
        "indexer_types", "hy_v4", formula(lambda _, i, __: "full" if i == 0 or (i - 1) % 4 == 0 else "shared")
    ),
    _row(
        "layer_rope_theta",
        "muse_glimmer_text muse_spark_text",
        formula(lambda v, i, n: v["rope_parameters.rope_theta"] if (n - 1 - i) % 4 else 0),
        {"rope_parameters.rope_theta": 500000.0},
    ),
    _row("activation_sparsity_pattern", "gemma3n gemma3n_text", formula(made.sparse_activation)),
)
