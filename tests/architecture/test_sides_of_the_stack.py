"""What feeds the stack comes from the first slice's model, what reads it from the last one's."""

import pytest

from distexpand.architecture.outside import is_before_stack

BEFORE = [
    "model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "transformer.wte.weight",
    "wte.weight",
    "wpe.weight",
    "transformer.word_embeddings.weight",
    "transformer.word_embeddings_layernorm.bias",
    "gpt_neox.embed_in.weight",
    "model.decoder.embed_positions.weight",
    "model.decoder.project_in.weight",
    "model.tok_embeddings.weight",
    "backbone.embeddings.weight",
    "transformer.embedding.word_embeddings.weight",
    "model.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
    "visual.blocks.0.attn.qkv.weight",
    "audio_tower.layers.0.fc1.weight",
    "multi_modal_projector.linear_1.weight",
    "model.vision_embed_tokens.img_processor.vision_model.post_layernorm.weight",
    "model.rotary_emb.inv_freq",
    "model.language_model.embed_tokens_per_layer.weight",
    "model.per_layer_model_projection.weight",
    "model.per_layer_projection_norm.weight",
]
AFTER = [
    "model.norm.weight",
    "lm_head.weight",
    "lm_head.bias",
    "embed_out.weight",
    "transformer.ln_f.weight",
    "gpt_neox.final_layer_norm.bias",
    "model.decoder.final_layer_norm.weight",
    "model.decoder.project_out.weight",
    "output.weight",
    "score.weight",
    "mtp.fc.weight",
]


@pytest.mark.parametrize("name", BEFORE)
def test_before(name):
    assert is_before_stack(name)


@pytest.mark.parametrize("name", AFTER)
def test_after(name):
    assert not is_before_stack(name)
