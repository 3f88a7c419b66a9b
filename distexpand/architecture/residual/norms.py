"""Norms of a block by name: those that a part reads through, and those that its result goes through."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from distexpand.architecture.residual.facts import NORM_BEFORE_PART

_PRE_NORMS = re.compile(
    r"input_layernorm|post_attention_layernorm|"
    r"pre_(feedforward|ff|mlp|moe|attn|attention)_(layernorm|norm)|"
    r"(attention|attn|feed_?forward|ffn|mlp|operator)_(layernorm|norm)|"
    r"(channel|temporal)_pre_norm|ln_(1|2|attn|mlp|cross_attn)|ln[12]|norm_[12]|norm|norm_(attn|ffn)"
)
_POST_NORMS = re.compile(r"post_(attention|self_attn|attn|feedforward|ff|mlp|moe)_(layernorm|norm)")
_FAIRSEQ_NORMS = re.compile(r"(self_attn|encoder_attn|cross_attn|feed_forward|final)_layer_norm")


def is_norm(suffix: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor belongs to a norm that stands before or after a part, not in the stream itself."""
    name, _, leaf = suffix.rpartition(".")
    if leaf not in {"weight", "bias"}:
        return False
    if is_fairseq_norm(suffix):
        return NORM_BEFORE_PART.get(str(config.get("model_type")), False)
    return bool(_PRE_NORMS.fullmatch(name) or _POST_NORMS.fullmatch(name))


def is_fairseq_norm(suffix: str) -> bool:
    """Whether a norm has one of fairseq's names, which don't say where it stands."""
    return _FAIRSEQ_NORMS.fullmatch(suffix.rpartition(".")[0]) is not None


def is_norm_after(suffix: str, suffixes: Collection[str]) -> bool:
    """Whether a norm stands after a part, so that its bias reaches the stream.

    `post_attention_layernorm` stands before the feed-forward part in most models, and after
    the attention in those that have another norm there, or none before the attention.
    """
    name = suffix.partition(".")[0]
    if not _POST_NORMS.fullmatch(name):
        return False
    names = {other.partition(".")[0] for other in suffixes}
    sandwiched = "input_layernorm" not in names or any(other.startswith("pre_") for other in names)
    return name != "post_attention_layernorm" or sandwiched
