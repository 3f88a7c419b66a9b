"""Blocks told by names alone: each tensor has to be explained, or the block is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.residual.identity import identity_values
from distexpand.errors import ArchitectureError
from distexpand.formats.dtypes import DType

ATTENTION = [f"self_attn.{part}_proj.weight" for part in "qkvo"]
MLP = [f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")]
NORMS = ["input_layernorm.weight", "post_attention_layernorm.weight"]
LLAMA = [*ATTENTION, *MLP, *NORMS]


def outputs(suffixes, **config):
    """Return the tensors that have to be zero."""
    dtypes = dict.fromkeys(suffixes, DType.BF16)
    values = identity_values(dtypes, config, origin="model.layers.3")
    assert set(values.values()) <= {0.0}
    return set(values)


def test_llama():
    assert outputs(LLAMA) == {"self_attn.o_proj.weight", "mlp.down_proj.weight"}


def test_other_names_of_published_checkpoints():
    internlm = ["attention.wqkv.weight", "attention.wo.weight", "attention_norm.weight", "ffn_norm.weight"]
    internlm += ["feed_forward.w1.weight", "feed_forward.w2.weight", "feed_forward.w3.weight"]
    assert outputs(internlm) == {"attention.wo.weight", "feed_forward.w2.weight"}
    qwen = ["attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "ln_1.weight", "ln_2.weight"]
    qwen += ["mlp.w1.weight", "mlp.w2.weight", "mlp.c_proj.weight"]
    assert {"attn.c_proj.weight", "mlp.c_proj.weight"} <= outputs(qwen)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("layer_scales", "layer_scales"),
        ("cross_mixer.o_proj.weight", "cross_mixer.o_proj.weight"),
        ("encoder_attn.q_proj.weight", "the output of 'encoder_attn'"),
        ("mamba.in_proj.weight", "the output of 'mamba'"),
        ("mlp.experts.0.up_proj.weight", "the output of 'mlp.experts.0'"),
        ("mlp.experts.gate_up_proj", "the output of 'mlp.experts'"),
        ("mlp.experts.wi", "the output of 'mlp.experts'"),
        ("mlp.experts.0.kernel", "the output of 'mlp.experts'"),
        ("mlp.shared_ffn.up.weight", "the output of 'mlp.shared_ffn'"),
        ("mlp.adapter.linear1.weight", "the output of 'mlp.adapter'"),
        ("mlp.shared_expert.gate_proj.weight", "the output of 'mlp.shared_expert'"),
        ("mlp.extra_mlp.up_proj.weight", "the output of 'mlp.extra_mlp'"),
        ("self_attn.o_proj.weight.absmax", "stored quantised"),
        ("mlp.down_proj.lora_A", "stored quantised"),
        ("mlp.down_proj.qzeros", "stored quantised"),
        ("pre_ln.weight", "pre_ln.weight"),
        ("self_attn_layer_norm.weight", "self_attn_layer_norm"),
        ("input_layernorm.scale", "input_layernorm.scale"),
    ],
)
def test_one_tensor_more_is_refused(extra, reason):
    with pytest.raises(ArchitectureError, match=reason) as error:
        outputs([*LLAMA, extra])
    assert error.value.message.startswith("model.layers.3: ")


@pytest.mark.parametrize("extra", ["mlp.shared_expert_gate.weight", "mlp.tokens_per_expert"])
def test_what_only_speaks_of_experts_is_none(extra):
    assert outputs([*LLAMA, extra]) == outputs(LLAMA)


@pytest.mark.parametrize(
    "suffixes",
    [
        [],
        NORMS,
        [name for name in LLAMA if "o_proj" not in name],
        [name for name in LLAMA if "down_proj" not in name],
        [name.replace(".weight", ".qweight") for name in LLAMA],
        [name.replace(".weight", ".weight_packed") for name in LLAMA],
        [name.replace("o_proj", "o_proj.other") for name in LLAMA],
    ],
    ids=str,
)
def test_a_block_without_its_outputs_is_refused(suffixes):
    with pytest.raises(ArchitectureError, match="can't make an identity block"):
        outputs(suffixes)


def test_post_norm_with_a_bias_is_told_from_a_pre_norm_of_that_name():
    bias = "post_attention_layernorm.bias"
    assert bias not in outputs([*LLAMA, bias, "input_layernorm.bias"])
    for other in ([], ["pre_feedforward_layernorm.weight", "input_layernorm.weight"]):
        assert bias in outputs([*ATTENTION, *MLP, "post_attention_layernorm.weight", bias, *other])
    assert "post_feedforward_layernorm.bias" in outputs([*LLAMA, "post_feedforward_layernorm.bias"])


def test_gains_have_to_be_one():
    dtypes = dict.fromkeys([*LLAMA, "layer_scalar"], DType.BF16)
    values = identity_values(dtypes, {}, origin="layer")
    assert values["layer_scalar"] == 1
    with pytest.raises(ArchitectureError, match="would have to be 1"):
        identity_values({**dtypes, "layer_scalar": DType.F8_E4M3}, {}, origin="layer")


BART = [f"self_attn.{part}_proj.{leaf}" for part in ("q", "k", "v", "out") for leaf in ("weight", "bias")]
BART += [f"{part}.{leaf}" for part in ("fc1", "fc2", "final_layer_norm") for leaf in ("weight", "bias")]


def test_names_of_bart_are_an_identity_only_in_models_that_normalise_before():
    assert "fc2.bias" in outputs(BART, model_type="opt")
    for model_type in ("bart", "plbart", "unheard-of", None):
        with pytest.raises(ArchitectureError):
            outputs(BART, model_type=model_type)


@given(st.lists(st.text(max_size=20), max_size=6), st.permutations(LLAMA))
def test_any_names(extra, suffixes):
    try:
        found = outputs([*extra, *suffixes])
    except ArchitectureError as error:
        assert error.message.startswith("model.layers.3: ")  # noqa: PT017  # either way is right
        return
    assert found >= {"self_attn.o_proj.weight", "mlp.down_proj.weight"}
    assert found <= {*extra, *suffixes}
