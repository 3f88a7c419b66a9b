"""New orders of layers of models whose config tells layers apart: one case at least per row of the rules.

The list is written by hand, not derived from the table, so that a row that is
lost shows. Values that a case drops are those that old configs don't have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

N = 8
TWICE = (*range(N), *range(N))
MIDDLE = (*range(6), *range(2, N))
BUT_FIRST = (*range(N), *range(2, N))
FIRST = (0, *range(N))
LATE = tuple(range(1, N))

_TYPES = ("layer_types",)
_MLP = ("mlp_layer_types",)
_WINDOWS = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A real class's config, made tiny, with some values set, some dropped, and a new order.

    `made` is the model's class and the path of its layers; `lists` are attributes of the
    config class to compare where no model is built. A refused case names the key at fault. The
    config counts `blocks` for each layer.
    """

    model_type: str
    order: Sequence[int]
    changes: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    drop: Sequence[str] = ()
    made: tuple[str, str] | None = None
    lists: Sequence[str] = ()
    refused: str = ""
    layers: int = N
    blocks: int = 1
    prefix: str = "model.layers."
    count: str = "num_hidden_layers"

    def __str__(self) -> str:
        """Return a name for the test."""
        return "-".join([self.model_type, *self.drop, *self.raw, self.refused and "refused"]).rstrip("-")


def _made(
    model_type: str, name: str, order: Sequence[int], drop: Sequence[str] = _TYPES, **more: Any
) -> Case:
    return Case(model_type=model_type, made=(name, "model.layers"), order=order, drop=drop, **more)


def _listed(model_type: str, order: Sequence[int], drop: Sequence[str] = _TYPES, **more: Any) -> Case:
    return Case(model_type=model_type, lists=drop[:1], order=order, drop=drop, **more)


def _refused(model_type: str, order: Sequence[int], key: str, drop: Sequence[str] = (), **more: Any) -> Case:
    return Case(model_type=model_type, order=order, refused=key, drop=drop, **more)


CASES = (
    # lists that the class makes up
    _made(
        "llama4_text", "Llama4ForCausalLM", LATE, ("no_rope_layers", "layer_types", "no_rope_layer_interval")
    ),
    _made("smollm3", "SmolLM3ForCausalLM", MIDDLE, ("no_rope_layers", "layer_types")),
    _made("afmoe", "AfmoeForCausalLM", MIDDLE[1:], ("layer_types", "global_attn_every_n_layers")),
    _made("bailing_hybrid", "BailingHybridForCausalLM", MIDDLE),
    _made("beam", "BeamForCausalLM", range(4)),
    _made("cohere2", "Cohere2ForCausalLM", MIDDLE[1:]),
    _made("cohere2_moe", "Cohere2MoeForCausalLM", MIDDLE[1:]),
    _made("deepseek_v4", "DeepseekV4ForCausalLM", FIRST),
    _made("cwm", "CwmForCausalLM", LATE),
    _made("granite_swa", "GraniteSWAForCausalLM", LATE),
    _listed("dots3_note_text", LATE),
    _made(
        "dots1",
        "Dots1ForCausalLM",
        TWICE,
        changes={"sliding_window": 8, "max_window_layers": 4, "first_k_dense_replace": 0},
    ),
    _made("qwen2", "Qwen2ForCausalLM", TWICE, changes=_WINDOWS),
    _made("qwen2", "Qwen2ForCausalLM", FIRST, changes=_WINDOWS),
    _made("qwen3", "Qwen3ForCausalLM", TWICE, changes=_WINDOWS),
    _listed("qwen2_vl_text", TWICE, changes=_WINDOWS),
    _listed("qwen2_5_vl_text", TWICE, changes=_WINDOWS),
    _made("qwen2_moe", "Qwen2MoeForCausalLM", LATE, changes={**_WINDOWS, "max_window_layers": 6}),
    _made("exaone4", "Exaone4ForCausalLM", MIDDLE[1:]),
    _made("flint", "FlintForCausalLM", FIRST),
    _made("gemma2", "Gemma2ForCausalLM", LATE),
    _made("gpt_oss", "GptOssForCausalLM", LATE),
    _made("vaultgemma", "VaultGemmaForCausalLM", LATE),
    _made("gemma3_text", "Gemma3ForCausalLM", MIDDLE),
    _listed("t5gemma2_text", MIDDLE),
    _made("gemma3n_text", "Gemma3nForCausalLM", MIDDLE),
    _made("kolibri1", "Kolibri1ForCausalLM", MIDDLE),
    _made("gemma4_text", "Gemma4ForCausalLM", MIDDLE, ("layer_types", "per_layer_config")),
    _listed(
        "glm5_next_text", LATE, changes={"num_key_value_heads": 4, "index_kpool": 4, "qk_rope_head_dim": 0}
    ),
    _made("inkling2_text", "Inkling2ForCausalLM", MIDDLE, changes={"n_layers_per_attn_res_block": 2}),
    _listed("inkling_text", MIDDLE, ("layer_types", "local_layer_ids")),
    _made("kimi_linear", "KimiLinearForCausalLM", MIDDLE[1:]),
    _listed(
        "kimi_linear",
        FIRST,
        raw={"linear_attn_config": {"full_attn_layers": [2], "kda_layers": [1, *range(3, 9)]}},
    ),
    _made("lfm3", "Lfm3ForCausalLM", LATE),
    _made("mimo_v2_flash", "MiMoV2FlashForCausalLM", MIDDLE),
    _made("modernbert-decoder", "ModernBertDecoderForCausalLM", (0, *range(2, N))),
    Case(
        model_type="muse_glimmer_text",
        order=range(7),
        drop=("layer_types", "layer_rope_theta"),
        lists=("layer_types", "layer_rope_theta"),
    ),
    _made("olmo3", "Olmo3ForCausalLM", LATE),
    _made("olmo_hybrid", "OlmoHybridForCausalLM", LATE),
    _made("qwen3_next", "Qwen3NextForCausalLM", LATE),
    _made("qwen3_5_text", "Qwen3_5ForCausalLM", LATE, raw={"full_attention_interval": 2}),
    _made("qwen4_exp_text", "Qwen4ExpForCausalLM", LATE, changes={"ple_layer_ids": []}),
    _listed("zamba", FIRST, ("layers_block_type",)),
    _made("axk1", "AXK1ForCausalLM", (*range(N), 6, 7), _MLP, raw={"moe_layer_freq": 3}),
    _listed("dots3_note_text", FIRST, _MLP),
    _made("bailing_hybrid", "BailingHybridForCausalLM", FIRST, ("mlp_layer_types", "first_k_dense_replace")),
    _made("cohere2_moe", "Cohere2MoeForCausalLM", TWICE, _MLP, raw={"first_k_dense_replace": 2}),
    _made("deepseek_v32", "DeepseekV32ForCausalLM", FIRST, ("mlp_layer_types", "first_k_dense_replace")),
    _made("exaone_moe", "ExaoneMoeForCausalLM", FIRST, ("mlp_layer_types", "first_k_dense_replace")),
    _made("glm4_moe_lite", "Glm4MoeLiteForCausalLM", FIRST, _MLP),
    _listed(
        "glm5_next_text",
        FIRST,
        _MLP,
        changes={"num_key_value_heads": 4, "index_kpool": 4, "qk_rope_head_dim": 0},
    ),
    _made("deepseek_v4", "DeepseekV4ForCausalLM", FIRST, _MLP),
    _listed("inkling_text", FIRST, _MLP, raw={"dense_mlp_idx": 2}),
    _made(
        "glm_moe_dsa",
        "GlmMoeDsaForCausalLM",
        (*range(6), *range(3, 8)),
        ("indexer_types",),
        raw={"index_topk_freq": 2},
    ),
    _made("hy_v4", "HYV4ForCausalLM", (*range(6), *range(1, 8)), ("indexer_types",)),
    _made(
        "gemma3n_text",
        "Gemma3nForCausalLM",
        (*range(10), *range(2, 12)),
        ("activation_sparsity_pattern",),
        layers=12,
    ),
    # rules without a list
    _made("afmoe", "AfmoeForCausalLM", FIRST, ("num_dense_layers",)),
    _made("lfm2_moe", "Lfm2MoeForCausalLM", FIRST, ("num_dense_layers",)),
    _made("deepseek_v3", "DeepseekV3ForCausalLM", FIRST, ("first_k_dense_replace",)),
    _made("glm4_moe", "Glm4MoeForCausalLM", FIRST, ("first_k_dense_replace",)),
    _made("deepseek_v2", "DeepseekV2ForCausalLM", FIRST, (), changes={"first_k_dense_replace": 1}),
    _made("qwen3_moe", "Qwen3MoeForCausalLM", MIDDLE[1:], (), changes={"decoder_sparse_step": 2}),
    _made("qwen3_moe", "Qwen3MoeForCausalLM", TWICE, (), changes=_WINDOWS, raw=_WINDOWS),
    _made("flint", "FlintForCausalLM", FIRST, ("mlp_only_layers",)),
    _made("ernie4_5_moe", "Ernie4_5_MoeForCausalLM", FIRST, ()),
    _made(
        "jamba",
        "JambaForCausalLM",
        (3, 4, 5),
        ("attn_layer_period", "attn_layer_offset"),
        changes={"attn_layer_period": 8, "attn_layer_offset": 4},
    ),
    _made(
        "jamba",
        "JambaForCausalLM",
        (3, 4, 5),
        ("expert_layer_period", "expert_layer_offset"),
        changes={"expert_layer_period": 2, "expert_layer_offset": 1},
    ),
    _refused("jamba", FIRST, "expert_layer_period"),
    _made(
        "llama4_text", "Llama4ForCausalLM", FIRST, ("moe_layers",), changes={"interleave_moe_layer_step": 2}
    ),
    _made("bamba", "BambaForCausalLM", MIDDLE, ()),
    Case(
        model_type="nllb-moe",
        order=(1, 2, 3, 5, 6, 7),
        drop=("encoder_sparse_step",),
        changes={"encoder_sparse_step": 4},
        made=("NllbMoeForConditionalGeneration", "model.encoder.layers"),
        prefix="model.encoder.layers.",
        count="encoder_layers",
    ),
    Case(
        model_type="nllb-moe",
        order=(1, 2, 3, 5, 6, 7),
        drop=("decoder_sparse_step",),
        changes={"decoder_sparse_step": 4},
        made=("NllbMoeForConditionalGeneration", "model.decoder.layers"),
        prefix="model.decoder.layers.",
        count="decoder_layers",
    ),
    Case(
        model_type="switch_transformers",
        order=BUT_FIRST,
        changes={"num_sparse_encoder_layers": 4},
        made=("SwitchTransformersForConditionalGeneration", "encoder.block"),
        prefix="encoder.block.",
        count="num_layers",
    ),
    Case(
        model_type="switch_transformers",
        order=BUT_FIRST,
        changes={"num_sparse_decoder_layers": 4},
        made=("SwitchTransformersForConditionalGeneration", "decoder.block"),
        prefix="decoder.block.",
        count="num_decoder_layers",
    ),
    Case(
        model_type="gpt_neo",
        order=FIRST,
        changes={"attention_types": [[["global", "local"], 4]]},
        made=("GPTNeoForCausalLM", "transformer.h"),
        prefix="transformer.h.",
        count="num_layers",
    ),
    _made("recurrent_gemma", "RecurrentGemmaForCausalLM", MIDDLE[1:], ()),
    Case(
        model_type="mllama_text_model",
        order=FIRST,
        drop=("cross_attention_layers",),
        changes={"cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38]},
        made=("MllamaForCausalLM", "model.layers"),
    ),
    Case(
        model_type="molmo2_text",
        order=FIRST,
        changes={"rope_scaling_layers": [1, 3]},
        made=("Molmo2TextModel", "layers"),
    ),
    Case(
        model_type="evolla",
        order=MIDDLE,
        changes={"aligner_num_add_layers": 4},
        made=("EvollaForProteinText2Text", "model.layers"),
    ),
    Case(
        model_type="hrm_text",
        order=FIRST,
        lists=(),
        count="num_layers_per_stack",
        made=("HrmTextForCausalLM", "model.L_module.layers"),
    ),
    _made("dory", "DoryForCausalLM", MIDDLE, (), blocks=2),
    _made(
        "dory",
        "DoryForCausalLM",
        MIDDLE,
        raw={"num_hidden_layers": N, "n_input_layers": 2, "n_recurrent_layers": 4, "n_output_layers": 2},
    ),
    _refused("dory", TWICE, "n_input_layers", blocks=2),
    _refused("idefics", FIRST, "cross_layer_interval", changes={"cross_layer_interval": 2}),
    _refused("inkling2_text", FIRST, "n_layers_per_attn_res_block"),
    # depth, index and bonds
    _made("minicpm3", "MiniCPM3ForCausalLM", TWICE, (), changes={"scale_depth": 1.4}),
    *(
        _refused(name, FIRST, "root of 9 once", changes={"rescale_prenorm_residual": True})
        for name in ("mamba", "mamba2", "falcon_mamba")
    ),
    Case(
        model_type="mamba",
        order=(*range(1, N), 0),
        changes={"rescale_prenorm_residual": True},
        made=("MambaForCausalLM", "backbone.layers"),
        prefix="backbone.layers.",
    ),
    Case(
        model_type="falcon_mamba",
        order=FIRST,
        drop=("rescale_prenorm_residual",),
        made=("FalconMambaForCausalLM", "backbone.layers"),
        prefix="backbone.layers.",
    ),
    _refused("diffllama", FIRST, "a model of type 'diffllama'"),
    _refused("beam", FIRST, "own index"),
    _refused("minimax", TWICE, "layer_types"),
    _refused(
        "gpt2",
        FIRST,
        "scale_attn_by_inverse_layer_idx",
        changes={"scale_attn_by_inverse_layer_idx": True},
        prefix="transformer.h.",
        count="n_layer",
    ),
    _refused(
        "pegasus_x", FIRST, "stagger_local_blocks", prefix="model.encoder.layers.", count="encoder_layers"
    ),
    _made(
        "gemma3n_text",
        "Gemma3nForCausalLM",
        (*range(20), *range(15, 20)),
        ("num_kv_shared_layers",),
        layers=20,
        changes={"num_kv_shared_layers": 15},
    ),
    _refused("gemma3n_text", TWICE, "num_kv_shared_layers"),
    Case(
        model_type="mistral_large4_text",
        order=(0, 1, 2, 1, *range(2, N)),
        changes={"kv_source_layers": [0, 1, 1, 3, 4, 4, 6, 6]},
        made=("MistralLarge4TextModel", "layers"),
    ),
    _refused("glm_moe_dsa", MIDDLE, "indexer_types", ("indexer_types",), raw={"index_topk_freq": 2}),
    _refused("zamba2", (0, 1, *range(3, N)), "layers_block_type", changes={"num_mem_blocks": 2}),
    _refused("qwen4_exp_text", TWICE, "ple_layer_ids"),
    _refused("gemma4_text", range(7), "layer_types"),
)
