"""Residual outputs: the projections that write a block's result into the residual stream.

Zero them and the block passes its input on unchanged (LLaMA Pro, arXiv
2401.02415). Which tensors these are is a fact per family that structure alone
doesn't show, so it is a table of the parts that blocks are built of. A block
is explained only if each of its tensors belongs to a known part or is a known
norm; one that the table doesn't explain wholly is refused rather than zeroed
in the hope that it fits. Rejected: looking for known outputs and ignoring the
rest, which takes a second mixer beside the attention, cross-attention or a
learned residual scale for an identity.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from distexpand.errors import ArchitectureError

_OUTPUTS_BY_PART = {
    # mixers
    "self_attn": r"o_proj|out_proj|dense",
    "attention": r"dense|o_proj|wo|output",
    "self_attention": r"dense",
    "attn": r"c_proj|out_proj|o_proj|attention\.out_proj",
    "linear_attn": r"out_proj|o_proj",
    "mamba": r"out_proj",
    "mixer": r"out_proj|o_proj|down_proj",
    "conv": r"out_proj",
    "temporal_block": r"linear_out|o_proj",
    # feed-forward parts
    "mlp": r"down_proj|c_proj|dense_4h_to_h|fc_out|fc2|w2|"
    r"(experts\.\d+|shared_experts?|shared_mlp)\.down_proj",
    "feed_forward": r"w2|down_proj|value|(experts\.\d+|shared_experts?)\.(down_proj|w2)",
    "block_sparse_moe": r"experts\.\d+\.w2|output_linear|shared_experts?\.down_proj",
    "shared_mlp": r"output_linear",
    "ffn": r"down_proj",
    "mlp_block": r"down_proj",
}
"""Part of a block to the projections in it that write into the residual stream."""

_FLAT_OUTPUTS = {"fc1": None, "fc2": "fc2"}
"""Feed-forward parts whose two layers lie directly in the block."""

_FUSED_OUTPUT = re.compile(r"(mlp|feed_forward|block_sparse_moe)\.experts\.down_proj(_bias)?")
"""All experts in one tensor, without a `.weight` at the end."""

_INPUT = re.compile(
    r"(.+)\.(up_proj|gate_proj|gate_up_proj|w1|w3|fc1|fc_in|c_fc|dense_h_to_4h|input_linear|key)(\.|_|$)"
)
"""First projection of a feed-forward part or of an expert: what has one has to have a known output."""

_PRE_NORMS = re.compile(
    r"input_layernorm|post_attention_layernorm|"
    r"pre_(feedforward|ff|mlp|moe|attn|attention)_(layernorm|norm)|"
    r"(attention|attn|feed_?forward|ffn|mlp|operator)_(layernorm|norm)|"
    r"(channel|temporal)_pre_norm|ln_(1|2|attn|mlp)|ln[12]|norm_[12]|norm"
)
_POST_NORMS = re.compile(r"post_(attention|self_attn|attn|feedforward|ff|mlp|moe)_(layernorm|norm)")
_FAIRSEQ_NORMS = frozenset({"self_attn_layer_norm", "final_layer_norm"})
_FAIRSEQ_PRE_NORM_MODELS = frozenset({"opt", "biogpt", "xglm"})
"""Models that have the names of BART's block, but normalise before each part, as BART doesn't."""

_SCALES = frozenset({"weight_scale", "weight_scale_inv", "input_scale", "output_scale"})
"""What may lie beside a quantised weight whose zeros are zero whatever its scale."""

_NOT_PLAIN_SUM = frozenset({"bart", "beam", "openai-gpt", "minimax"})
"""Models with the names of others, whose residual stream is normalised or scaled on its way."""


def residual_outputs(suffixes: Collection[str], config: Mapping[str, Any], *, origin: str) -> frozenset[str]:
    """Return the suffixes of one layer's tensors that have to be zero for an identity block.

    Args:
        suffixes: names of the layer's tensors without prefix and index.
        config: the level of the config that describes this stack.
        origin: what to name in an error, such as `model.layers.3`.

    Raises:
        ArchitectureError: the block isn't one whose residual outputs are known.
    """
    _refuse_other_sums(config, origin)
    parts: dict[str, set[str]] = defaultdict(set)
    norms: set[str] = set()
    for suffix in suffixes:
        part, _, rest = suffix.partition(".")
        if part in _OUTPUTS_BY_PART:
            parts[part].add(suffix)
        elif part in _FLAT_OUTPUTS:
            parts["fc2"].add(suffix)
        elif rest in {"weight", "bias"} and _is_norm(part, config):
            norms.add(suffix)
        else:
            raise _unexplained(origin, f"what {suffix!r} does in the block isn't known")
    _refuse_biased_post_norms(norms, origin)
    outputs = {part: _outputs(part, names) for part, names in parts.items()}
    for part, found in outputs.items():
        if not found:
            raise _unexplained(origin, f"the output of {part!r} isn't known: {_listed(parts[part])}")
    if not outputs:
        raise _unexplained(origin, f"no attention or feed-forward part is known: {_listed(suffixes)}")
    result = frozenset().union(*outputs.values())
    _refuse_companions(result, suffixes, origin)
    return result


def _outputs(part: str, names: Collection[str]) -> frozenset[str]:
    if part in _FLAT_OUTPUTS:
        return frozenset(name for name in names if name in {"fc2.weight", "fc2.bias"})
    pattern = re.compile(rf"{part}\.({_OUTPUTS_BY_PART[part]})\.(weight|bias)")
    found = frozenset(name for name in names if pattern.fullmatch(name) or _FUSED_OUTPUT.fullmatch(name))
    inputs = {match[1] for match in map(_INPUT.match, names) if match}
    return found if inputs <= {_parent(name) for name in found} else frozenset()


def _parent(output: str) -> str:
    module = output if _FUSED_OUTPUT.fullmatch(output) else output.rpartition(".")[0]
    return module.rpartition(".")[0]


def _is_norm(name: str, config: Mapping[str, Any]) -> bool:
    if name in _FAIRSEQ_NORMS:
        return config.get("model_type") in _FAIRSEQ_PRE_NORM_MODELS
    return bool(_PRE_NORMS.fullmatch(name) or _POST_NORMS.fullmatch(name))


def _refuse_other_sums(config: Mapping[str, Any], origin: str) -> None:
    if (
        config.get("model_type") in _NOT_PLAIN_SUM
        or config.get("do_layer_norm_before") is False
        or config.get("apply_residual_connection_post_layernorm")
    ):
        raise ArchitectureError(
            f"{origin}: an identity block isn't possible: the model normalises or scales the residual stream "
            "itself, so a block with zero outputs still changes its input"
        )


def _refuse_biased_post_norms(norms: Collection[str], origin: str) -> None:
    """Refuse a norm after a part that adds its bias to the part's zero.

    `post_attention_layernorm` stands before the feed-forward part in most models and after
    the attention in those that have another norm there, or none before the attention.
    """
    names = {suffix.partition(".")[0] for suffix in norms}
    sandwiched = "input_layernorm" not in names or any(name.startswith("pre_") for name in names)
    for suffix in sorted(norms):
        name, _, leaf = suffix.partition(".")
        after = _POST_NORMS.fullmatch(name) and (name != "post_attention_layernorm" or sandwiched)
        if after and leaf == "bias":
            raise ArchitectureError(
                f"{origin}: an identity block isn't possible: {suffix!r} is added after the block's outputs"
            )


def _refuse_companions(outputs: Collection[str], suffixes: Collection[str], origin: str) -> None:
    """Refuse an output with a bias of its own beside it, or stored as codes.

    Codes may be an index into a table, where a byte of zeros isn't the value zero.
    """
    modules = {name.rpartition(".")[0] for name in outputs if name.endswith(".weight")}
    for suffix in sorted(suffixes):
        if suffix in outputs:
            continue
        if suffix.rpartition("_bias")[0] in modules:
            raise _unexplained(origin, f"what {suffix!r} does in the block isn't known")
        module = next((m for m in modules if suffix.startswith(f"{m}.")), None)
        if module is not None and suffix[len(module) + 1 :] not in _SCALES:
            raise ArchitectureError(
                f"{origin}: can't make an identity block: {module!r} is stored quantised ({suffix!r}), "
                "where zero bytes may not mean zero",
                hint="Use the model as it was before quantisation.",
            )


def _unexplained(origin: str, reason: str) -> ArchitectureError:
    return ArchitectureError(
        f"{origin}: can't make an identity block: {reason}",
        hint="If you know the tensors to zero, name them with parameters.scale filters of value 0.",
    )


def _listed(suffixes: Collection[str]) -> str:
    return ", ".join(sorted(suffixes)[:12])
