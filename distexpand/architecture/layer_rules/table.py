"""What is known of rules by which configs tell layers apart: one row per rule.

To add one: name the keys with the value that the class takes for an absent key,
the kind of rule, and the model types (none, if the key means the same wherever
it occurs). Which list overrules a rule, and which values a class accepts, is in
`__post_init__` of its configuration in transformers. A test walks these rows
and those of `lists` on the real classes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from distexpand.architecture.layer_rules.any_model import RULES_OF_ANY_MODEL
from distexpand.architecture.layer_rules.bonds import (
    in_turn,
    last_must_be,
    multiple_of_depth,
    numbered,
    own_index,
    own_index_and_depth,
    parity,
    reads_previous,
    rescaled_by_depth,
    shared_sources,
    shared_tail,
    shares_of_depth,
    steps_by_count,
)
from distexpand.architecture.layer_rules.formulas import formula
from distexpand.architecture.layer_rules.kinds import (
    cycle,
    every,
    indices,
    indices_or,
    interval,
    leading,
    periodic,
    runs,
    sections,
    sparse_steps,
)
from distexpand.architecture.layer_rules.lists import LIST_RULES
from distexpand.architecture.layer_rules.rule import Kind, LayerRule

_MLP, _ATTENTION, _CACHE = "feed-forward part", "attention", "cache"
_DENSE = "first_k_dense_replace"


def _row(what: str, models: str, kind: Kind, keys: dict[str, Any], **more: Any) -> LayerRule:
    return LayerRule(what=what, keys=keys, kind=kind, models=frozenset(models.split()), **more)


def _leading(models: str, key: str, default: int) -> LayerRule:
    return _row(_MLP, models, leading(key, "dense", "MoE"), {key: default})


_VALUE_RULES = (
    # which layers have experts
    _leading("afmoe", "num_dense_layers", 1),
    _leading("lfm2_moe", "num_dense_layers", 2),
    _leading("deepseek_v3 kimi_k2", _DENSE, 3),
    _leading("glm4_moe glm4v_moe glm4v_moe_text solar_open", _DENSE, 1),
    _row(
        _MLP,
        "flint",
        sparse_steps("decoder_sparse_step", "mlp_only_layers", "num_experts"),
        {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1], "num_experts": 1},
    ),
    _row(
        _MLP,
        "ernie4_5_moe",
        interval("moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval", "MoE", "dense"),
        {"moe_layer_start_index": 1, "moe_layer_end_index": -1, "moe_layer_interval": 1},
    ),
    _row(
        _MLP,
        "jamba",
        periodic("expert_layer_period", "expert_layer_offset", "MoE", "dense"),
        {"expert_layer_period": 2, "expert_layer_offset": 1},
    ),
    _row(
        _MLP,
        "llama4 llama4_text",
        indices_or(
            "moe_layers",
            lambda v, n: list(range(v["interleave_moe_layer_step"] - 1, n, v["interleave_moe_layer_step"])),
            "MoE",
            "dense",
        ),
        {"moe_layers": None, "interleave_moe_layer_step": 1},
    ),
    _row(
        _MLP, "nllb-moe", every("encoder_sparse_step", "MoE", "dense"), {"encoder_sparse_step": 4}, side="enc"
    ),
    _row(
        _MLP, "nllb-moe", every("decoder_sparse_step", "MoE", "dense"), {"decoder_sparse_step": 4}, side="dec"
    ),
    _row(
        _MLP,
        "switch_transformers",
        steps_by_count("num_sparse_encoder_layers"),
        {"num_sparse_encoder_layers": 3},
        side="enc",
    ),
    _row(
        _MLP,
        "switch_transformers",
        steps_by_count("num_sparse_decoder_layers"),
        {"num_sparse_decoder_layers": 3},
        side="dec",
    ),
    # which attention or mixer a layer has
    _row(
        _ATTENTION,
        "jamba",
        periodic("attn_layer_period", "attn_layer_offset", "attention", "mamba"),
        {"attn_layer_period": 8, "attn_layer_offset": 4},
    ),
    _row(_ATTENTION, "gpt_neo", runs("attention_types"), {"attention_types": [[["global", "local"], 12]]}),
    _row(
        "mixer",
        "recurrent_gemma",
        cycle("block_types"),
        {"block_types": ["recurrent", "recurrent", "attention"]},
    ),
    _row(
        "cross-attention",
        "mllama mllama_text_model",
        indices("cross_attention_layers", "cross-attention", "self-attention"),
        {"cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38]},
    ),
    _row(
        "scaling of positions",
        "molmo2 molmo2_text",
        indices_or("rope_scaling_layers", lambda _, n: list(range(n)), "scaled", "plain"),
        {"rope_scaling_layers": None},
    ),
    _row("adapter", "evolla", shares_of_depth("aligner_num_add_layers"), {"aligner_num_add_layers": 8}),
    _row(
        "cross-attention",
        "idefics",
        formula(lambda v, i, _: "" if v["cross_layer_interval"] == 1 else f"number {i}"),
        {"cross_layer_interval": 1},
    ),
    # all layers have a window or none has, though published configs have the key of other classes, too
    _row(_ATTENTION, "qwen3_moe", formula(lambda _, __, ___: "as all"), {"max_window_layers": None}),
    _row(
        "residual block",
        "inkling2 inkling2_text",
        every("n_layers_per_attn_res_block", "starts a block", "goes on with one", shift=0),
        {"n_layers_per_attn_res_block": 6},
    ),
    _row(
        "section",
        "dory",
        sections(("n_input_layers", "n_recurrent_layers", "n_output_layers"), ("input", "looped", "output")),
        {"n_input_layers": None, "n_recurrent_layers": None, "n_output_layers": None},
    ),
    # depth, index, and bonds between layers
    _row(
        "number of cached layers",
        "hrm_text",
        multiple_of_depth("num_hidden_layers"),
        {"num_hidden_layers": None},
    ),
    _row(
        "projection into the stream",
        "mamba mamba2 falcon_mamba",
        rescaled_by_depth("rescale_prenorm_residual"),
        {"rescale_prenorm_residual": False},
    ),
    _row("own index", "diffllama beam", own_index(), {}, inert=True),
    _row(
        "decay, by its own index",
        "minimax minimax_m1",
        own_index_and_depth("layer_types", "linear_attention"),
        {"layer_types": None},
        stored="self_attn.slope_rate",
    ),
    _row(
        "staggered blocks",
        "pegasus_x",
        parity("stagger_local_blocks"),
        {"stagger_local_blocks": True},
        side="enc",
    ),
    _row(
        _CACHE,
        "gemma3n gemma3n_text",
        shared_tail("num_kv_shared_layers", "layer_types"),
        {"num_kv_shared_layers": 15, "layer_types": None},
    ),
    _row(
        _CACHE,
        "mistral_large4 mistral_large4_text",
        shared_sources("kv_source_layers"),
        {"kv_source_layers": None},
    ),
    _row(
        "index",
        "glm_moe_dsa glm5_next glm5_next_text hy_v4 mistral_large4 mistral_large4_text",
        reads_previous("indexer_types", "full", "shared"),
        {"indexer_types": None},
    ),
    _row(
        "shared block",
        "zamba2",
        in_turn("layers_block_type", "hybrid", "num_mem_blocks"),
        {"layers_block_type": None, "num_mem_blocks": 1},
    ),
    _row(
        "n-gram table", "qwen4_exp qwen4_exp_text", numbered("ple_layer_ids", base=1), {"ple_layer_ids": None}
    ),
    _row(
        _ATTENTION,
        "gemma4 gemma4_text gemma4_unified gemma4_unified_text diffusion_gemma diffusion_gemma_text",
        last_must_be("layer_types", "full_attention"),
        {"layer_types": None},
    ),
)

RULES = (*LIST_RULES, *_VALUE_RULES, *RULES_OF_ANY_MODEL)


def rules_of(level: Mapping[str, Any], model_type: str, prefix: str) -> Iterator[LayerRule]:
    """Yield the rules that speak of a stack; rows of its own model type take keys from those of any."""
    taken: set[str] = set()
    for rule in RULES:
        if (rule.models or rule.name not in taken) and rule.speaks_of(level, model_type, prefix):
            taken.update(rule.keys)
            yield rule
