"""Residual outputs: the projections that write a block's result into the residual stream.

Zero them and the block passes its input on unchanged (LLaMA Pro, arXiv
2401.02415). Which tensors these are is a fact per family that structure alone
doesn't show, so it is a table; a block that the table doesn't explain wholly is
refused rather than zeroed in the hope that it fits.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from distexpand.errors import ArchitectureError

_MIXER_OUTPUTS = re.compile(
    r"^(self_attn\.(o_proj|out_proj|dense)|attention\.(dense|o_proj|wo)|self_attention\.dense|"
    r"attn\.(c_proj|out_proj|attention\.out_proj|o_proj))\.(weight|bias)$"
)
_FEED_FORWARD_OUTPUTS = re.compile(
    r"^((mlp|feed_forward)\.(down_proj|c_proj|dense_4h_to_h|fc_out|fc2|w2)|fc2|"
    r"(block_sparse_moe|mlp)\.experts\.\d+\.(w2|down_proj)|"
    r"mlp\.shared_experts?\.down_proj)\.(weight|bias)$"
)
_FUSED_EXPERTS = re.compile(r"experts\.(down_proj|w2)(_bias)?$")
_POST_NORM_BIAS = re.compile(r"^post_[a-z_]*(layernorm|norm)\.bias$")
_POST_NORM_MODELS = frozenset(
    {"bert", "roberta", "xlm-roberta", "openai-gpt", "xlm", "distilbert", "electra"}
)


def residual_outputs(suffixes: Collection[str], config: Mapping[str, Any], *, origin: str) -> frozenset[str]:
    """Return the suffixes of one layer's tensors that have to be zero for an identity block.

    Args:
        suffixes: names of the layer's tensors without prefix and index.
        config: the level of the config that describes this stack.
        origin: what to name in an error, such as `model.layers.3`.

    Raises:
        ArchitectureError: the block isn't one whose residual outputs are known.
    """
    _refuse_post_norm(suffixes, config, origin)
    mixer = {suffix for suffix in suffixes if _MIXER_OUTPUTS.match(suffix)}
    feed_forward = {suffix for suffix in suffixes if _FEED_FORWARD_OUTPUTS.match(suffix)}
    unknown = [suffix for suffix in suffixes if _FUSED_EXPERTS.search(suffix)]
    if not mixer or not feed_forward or unknown:
        missing = "attention" if not mixer else "feed-forward"
        raise ArchitectureError(
            f"{origin}: can't make an identity block: the {missing} output among "
            f"{', '.join(sorted(suffixes)[:12])} isn't known",
            hint="Name the tensors to zero yourself with parameters.scale filters of value 0.",
        )
    return frozenset(mixer | feed_forward)


def _refuse_post_norm(suffixes: Collection[str], config: Mapping[str, Any], origin: str) -> None:
    post_norm = config.get("model_type") in _POST_NORM_MODELS or config.get("do_layer_norm_before") is False
    if post_norm or any(_POST_NORM_BIAS.match(suffix) for suffix in suffixes if "attention" not in suffix):
        raise ArchitectureError(
            f"{origin}: an identity block isn't possible: the model normalises after the residual sum, "
            "so a block with zero outputs still changes its input"
        )
