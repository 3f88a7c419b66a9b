"""The facts table: what the tensors of a block do to the residual stream. One fact a line.

A block is the identity once everything that it adds to the stream is zero and
everything that it multiplies the stream by is one. Which tensors do that can't
be seen from names and shapes, so it is written down here, by the parts that
blocks are built of rather than by models: a model that nobody has heard of is
most often built of known parts.

To teach a new part, add a line. A name is a tensor's without the block's
prefix and without what the storage adds (`.weight`, `.bias`, `_scales`); `N`
stands for any number. A test makes each class of transformers an identity by
this table, and another takes away each line and sees something fail.
"""

from collections.abc import Mapping
from typing import Any

from distexpand.architecture.residual.fact import Fact, after, gain, middle, never, norm, output, shift

FACTS: tuple[Fact, ...] = (
    # attention
    output("self_attn.o_proj"),
    output("self_attn.out_proj"),
    output("self_attn.dense"),
    output("self_attn.o_proj.linear"),
    output("self_attn.N.o_proj"),
    output("attention.dense"),
    output("attention.wo"),
    output("attention.output"),
    output("attention.output.dense"),
    output("self_attention.dense"),
    output("self_attention.experts.output_linear"),
    output("self_attention.experts.bias"),
    output("self_att.self_attention.attention_out"),
    output("multi_head_attention.dense"),
    output("attn.c_proj"),
    output("attn.out_proj"),
    output("attn.o_proj"),
    output("attn.Wo"),
    output("attn.wo_ud"),
    output("attn.attention.out_proj"),
    output("norm_attn_norm.attn.out_proj"),
    output("encoder_attn.out_proj"),
    output("crossattention.output.dense"),
    output("crossattention.c_proj"),
    output("cross_attn.o_proj"),
    output("layer.N.SelfAttention.o"),
    output("layer.N.EncDecAttention.o"),
    # linear attention, state spaces, convolutions
    output("linear_attn.out_proj"),
    output("linear_attn.o_proj"),
    output("mamba.out_proj"),
    output("mamba_decoder.mamba.out_proj"),
    output("mixer.out_proj"),
    output("mixer.o_proj"),
    output("conv.out_proj"),
    output("temporal_block.linear_out"),
    output("temporal_block.o_proj"),
    output("mlstm_layer.out_proj"),
    # feed-forward parts and experts
    output("mlp.down_proj"),
    output("mlp.c_proj"),
    output("mlp.dense_4h_to_h"),
    output("mlp.fc_out"),
    output("mlp.fc2"),
    output("mlp.Wo"),
    output("mlp.output_linear"),
    output("mlp.bias"),
    output("mlp.up_embed"),
    output("mlp.experts.N.down_proj"),
    output("mlp.experts.down_proj"),
    output("mlp.experts.fc2"),
    output("mlp.experts.w2_weight"),
    output("mlp.shared_expert.down_proj"),
    output("mlp.shared_experts.down_proj"),
    output("mlp.shared_mlp.down_proj"),
    output("mlps.N.down_proj"),
    output("mlp_block.down_proj"),
    output("shared_mlp.output_linear"),
    output("experts.down_proj"),
    output("block_sparse_moe.experts.N.w2"),
    output("block_sparse_moe.output_linear"),
    output("block_sparse_moe.experts.down_proj"),
    output("block_sparse_moe.shared_experts.down_proj"),
    output("block_sparse_moe.down_proj"),
    output("mixer.down_proj"),
    output("mixer.experts.N.down_proj"),
    output("mixer.shared_experts.down_proj"),
    output("feed_forward.w2"),
    output("feed_forward.down_proj"),
    output("feed_forward.value"),
    output("feed_forward.output.dense"),
    output("feed_forward.experts.N.down_proj"),
    output("feed_forward.experts.N.w2"),
    output("feed_forward.experts.down_proj"),
    output("feed_forward.shared_expert.down_proj"),
    output("ffn.down_proj"),
    output("ffn.proj_down"),
    output("ffn.ffn.w_out"),
    output("ffn.2"),
    output("ffn.experts.mlp.w2"),
    output("fc2"),
    output("output.dense"),
    output("layer.N.DenseReluDense.wo"),
    # inputs per layer
    output("per_layer_projection"),
    output("ple.value_proj"),
    # what the stream is multiplied by, and what is added to it without a part
    gain("input_residual"),
    gain("post_attention_residual"),
    gain("layer_scalar"),
    gain("post_attention_residual_scale.residual_scale"),
    shift("post_attention_residual_scale.residual_bias"),
    shift("post_attention_residual_scale.hidden_states_bias"),
    gain("post_mlp_residual_scale.residual_scale"),
    shift("post_mlp_residual_scale.residual_bias"),
    shift("post_mlp_residual_scale.hidden_states_bias"),
    # the router's own state goes from layer to layer too
    gain("mlp.gate.router_states_scale"),
    shift("mlp.gate.down_proj", beside="mlp.gate.balancing_biases"),
    # experts that hand their input on have to be given a zero
    shift("post_attention_layernorm.0", beside="mlp.router.classifier.weight"),
    # the stream is normalised by each layer and by the final norm, so norms of one are neutral
    gain("input_layernorm", model="minimax"),
    gain("post_attention_layernorm", model="minimax"),
    # nGPT goes from the normalised stream towards a part's result by this much. By nothing it stays there,
    # and whatever follows normalises the stream, too: the same but for the epsilon of one more norm
    shift("lambda_1", beside="self_attn.sqk"),
    shift("lambda_2", beside="self_attn.sqk"),
    # norms that parts read through, beside those whose names say so
    norm("input_layernorm.N"),
    norm("post_attention_layernorm.N"),
    norm("input_layernorm.norm"),
    norm("input_layernorm.W_down"),
    norm("input_layernorm.W_up"),
    norm("post_attention_layernorm.norm"),
    norm("post_attention_layernorm.W_down"),
    norm("post_attention_layernorm.W_up"),
    norm("norm_mlstm"),
    norm("q_input_norm"),
    norm("k_input_norm"),
    norm("v_input_norm"),
    norm("attention_layer_norm", model="olmo_hybrid"),
    norm("feedforward_layer_norm", model="olmo_hybrid"),
    norm("layernorm1", model="ctrl"),
    norm("layernorm2", model="ctrl"),
    norm("ln", model="megatron-bert"),
    norm("LayerNorm", model="xlm-roberta-xl"),
    # what a part's result goes through
    after("post_norm1"),
    after("post_norm2"),
    after("post_operator_norm"),
    after("post_ffn_norm"),
    after("post_feedforward_layernorm_1"),
    after("post_feedforward_layernorm_2"),
    after("post_per_layer_input_norm"),
    after("attn_sconv"),
    after("mlp_sconv"),
    after("post_attention_residual_scale.hidden_states_scale"),
    after("post_mlp_residual_scale.hidden_states_scale"),
    after("cross_attn_attn_gate"),
    after("cross_attn_mlp_gate"),
    # what comes before an output
    middle("fc1"),
    middle("intermediate"),
    middle("router"),
    middle("moe.router"),
    middle("per_layer_input_gate"),
    middle("pre_feedforward_layernorm_2"),
    middle("linear"),
    middle("shared_transf"),
    middle("shared_transformer"),
    middle("mlp.experts.N.gate_proj", beside="mlp.router.classifier.weight"),
    middle("mlp.experts.N.up_proj", beside="mlp.router.classifier.weight"),
    middle("hc_pre"),
    middle("mlp_queries"),
    middle("attn_hyper_connection"),
    middle("mlp_hyper_connection"),
    # blocks that can't be an identity
    never("attention.output.LayerNorm"),
    never("rel_attn.layer_norm"),
    never("out_lin"),
    never("ln_1", model="openai-gpt"),
    never("pre_ln", "the first layer normalises the stream"),
    never("laurel", "the block adds its normalised input and divides by the root of two"),
    never("hc_attn_base", "the streams are mixed by a matrix that is never quite the identity"),
)
"""Every fact; where two speak of one name, the first whose conditions hold."""

NORM_BEFORE_PART: Mapping[str, bool] = {
    "bart": False,
    "bigbird_pegasus": True,
    "biogpt": True,
    "blenderbot": True,
    "blenderbot-small": False,
    "marian": False,
    "mbart": True,
    "musicgen_decoder": True,
    "musicgen_melody_decoder": True,
    "mvp": False,
    "opt": True,
    "pegasus": True,
    "plbart": False,
    "prophetnet": False,
    "trocr": False,
    "whisper": True,
    "xglm": True,
}
"""Model types with fairseq's names (`self_attn_layer_norm`), which don't say where the norms stand."""

NEVER_IF: Mapping[str, Any] = {
    "do_layer_norm_before": False,
    "apply_residual_connection_post_layernorm": True,
}
"""Config keys and the values by which a model normalises the residual stream itself."""
