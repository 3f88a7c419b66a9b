"""Guesses about tensors from what their names usually are, for warnings only.

A recipe is linted before any model is opened, so whether a filter silences a block can
only be judged by the names that known families use. Nothing that decides an
output byte may depend on this module.
"""

from distexpand.recipe.canonical import Rule, Source, first_match

# The projections that write into the residual stream: of attention, of the feed-forward part.
_RESIDUAL_OUTPUTS = (
    ("model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.mlp.down_proj.weight"),
    ("model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.block_sparse_moe.experts.0.w2.weight"),
    ("model.layers.{}.self_attn.dense.weight", "model.layers.{}.mlp.fc2.weight"),
    ("model.decoder.layers.{}.self_attn.out_proj.weight", "model.decoder.layers.{}.fc2.weight"),
    ("transformer.h.{}.self_attention.dense.weight", "transformer.h.{}.mlp.dense_4h_to_h.weight"),
    ("gpt_neox.layers.{}.attention.dense.weight", "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight"),
    ("transformer.h.{}.attn.c_proj.weight", "transformer.h.{}.mlp.c_proj.weight"),
    ("transformer.h.{}.attn.out_proj.weight", "transformer.h.{}.mlp.fc_out.weight"),
    ("model.layers.{}.attention.wo.weight", "model.layers.{}.feed_forward.w2.weight"),
)

EMBEDDINGS = (
    "model.embed_tokens.weight",
    "transformer.wte.weight",
    "transformer.word_embeddings.weight",
    "gpt_neox.embed_in.weight",
    "model.tok_embeddings.weight",
)
HEAD = (
    "model.norm.weight",
    "lm_head.weight",
    "transformer.ln_f.weight",
    "gpt_neox.final_layer_norm.weight",
    "embed_out.weight",
)


def silenced(source: Source) -> tuple[bool, bool]:
    """Say whether some residual output, and whether every one, is scaled to 0.

    Only families that a zero rule speaks of are asked; if all of some family's
    outputs are silent, that is the family meant.
    """
    found = [_silenced_in(names, source) for names in _RESIDUAL_OUTPUTS]
    return any(any(pair) for pair in found), any(all(pair) for pair in found)


def _silenced_in(names: tuple[str, str], source: Source) -> tuple[bool, bool]:
    attention, feed_forward = (name.format(source.layer) for name in names)
    return factor(source.scale, attention) == 0, factor(source.scale, feed_forward) == 0


def factor(scale: tuple[Rule, ...], name: str) -> float:
    """Return what the tensor with this name is multiplied by."""
    return first_match(scale, name, 1.0)
