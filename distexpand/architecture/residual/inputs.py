"""First projections of feed-forward parts and experts: where there is one, there has to be a known output."""

import re
from collections.abc import Collection

_INPUT = re.compile(
    r"(.+)\.(up_proj|gate_proj|gate_up_proj|up_gate_proj|up|gate_up|w_up|w_in|w1|w3|w12|v1|w13_weight|"
    r"wi|wi_0|wi_1|Wi|fc1|fc_1|fc_in|c_fc|lin1|linear1|linear_1|linear_in|input_linear|in_proj|proj_in|"
    r"dense_in|dense_h_to_4h|(?<=feed_forward\.)key)(\.|_|$)"
)
"""Names of first projections, after that of the part or expert."""

_EXPERTS = re.compile(r"((?:.+\.)?(?:\w+_)?experts?)\.")
"""Experts, whatever their tensors are called."""

_ROUTER = re.compile(r"(^|\.)(gate|router|router_mlp)(\.|$)")
"""Parts that choose experts; their outputs are no outputs of the block."""


def part_without_output(suffix: str, known: Collection[str]) -> str:
    """Return the part that a tensor belongs to if its output isn't known, else nothing.

    Args:
        suffix: a tensor that no fact speaks of.
        known: the parts, by their paths, whose outputs are known.
    """
    match = _INPUT.match(suffix)
    if match and match[1] not in known and not _ROUTER.search(match[1]):
        return match[1]
    match = _EXPERTS.match(suffix)
    if match and not any(f"{part}.".startswith(f"{match[1]}.") for part in known):
        return match[1]
    return ""
