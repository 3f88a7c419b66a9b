"""Which side of the layer stack a tensor outside it stands on.

The embeddings come from the first slice's model, final norm and head from the
last slice's. What feeds the stack is told from what reads it by the words that
models use; a name with none of them is taken for the head's side, as new
things at the end of a model (heads, norms, poolers) outnumber those before it.
"""

import re

_BEFORE = re.compile(
    r"(^|\.)(embed|embd|embeddings?|wte|wpe|tok_embeddings|word_embeddings|position_embeddings|"
    r"embed_tokens|embed_tokens_per_layer|per_layer_model_projection|per_layer_projection_norm|"
    r"embed_in|embed_positions|word_embeddings_layernorm|project_in|rotary_emb|"
    r"vision_tower|vision_model|vision_embed_tokens|visual|embed_vision|image_newline|"
    r"audio_tower|embed_audio|multi_modal_projector|mm_projector|connector)(\.|$)"
)


def is_before_stack(name: str) -> bool:
    """Whether a tensor outside the stack feeds it (embeddings and their kin)."""
    return _BEFORE.search(name) is not None
