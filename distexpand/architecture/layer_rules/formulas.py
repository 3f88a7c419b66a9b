"""Formulas by which config classes make up a list by layer that their config doesn't have.

They are only ever expanded: where one doesn't give a new order, the list itself
is written, which every class here accepts.
"""

from collections.abc import Callable

from distexpand.architecture.layer_rules.bonds import nothing
from distexpand.architecture.layer_rules.kinds import indices
from distexpand.architecture.layer_rules.rule import Facts, Kind, Values

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"


def formula(entry: Callable[[Values, int, int], object]) -> Kind:
    """Layer i of n has the entry `entry(values, i, n)`."""

    def expand(values: Values, n: int) -> Facts:
        return tuple(entry(values, i, n) for i in range(n))

    return Kind(expand, nothing)


def window_before(values: Values, i: int, _: int) -> str:
    """Qwen2-MoE: a window on every other layer before `max_window_layers`."""
    used = values["use_sliding_window"] and (i + 1) % 2 and i < values["max_window_layers"]
    return SLIDING if used else FULL


def pattern_after_prefix(values: Values, i: int, _: int) -> str:
    """Cohere2-MoE: one period among the first, dense layers, another among the rest."""
    prefix = values["first_k_dense_replace"]
    inner, period = (
        (i, values["prefix_dense_sliding_window_pattern"])
        if i < prefix
        else (i - prefix, values["sliding_window_pattern"])
    )
    return SLIDING if (inner + 1) % period else FULL


def index_reuse(values: Values, i: int, _: int) -> str:
    """Sparse attention whose index is computed now and then: by a pattern, or by frequency and offset."""
    pattern = values["index_topk_pattern"]
    if pattern:
        return {"F": "full", "S": "shared"}.get(pattern[i % len(pattern)], str(pattern[i % len(pattern)]))
    reuse = max(i - values["index_skip_topk_offset"] + 1, 0) % max(values["index_topk_freq"], 1)
    return "shared" if reuse else "full"


def zamba_type(values: Values, i: int, _: int) -> str:
    """Zamba: the first three are given, the period counts from the fourth."""
    given = (LINEAR, LINEAR, "hybrid")
    if i < len(given):
        return given[i]
    here = (i - len(given)) % values["attn_layer_period"] == values["attn_layer_offset"]
    return "hybrid" if here else LINEAR


def sparse_activation(_: Values, i: int, n: int) -> float:
    """Gemma 3n: the first ten layers of a deep stack."""
    return 0.95 if n > 10 and i < 10 else 0.0  # noqa: PLR2004


def sparse_dots3(values: Values, i: int, _: int) -> str:
    """Dots 3: after the first layers, by a step or by a list of switches."""
    steps = values["moe_layer_freq"]
    on = bool(steps[i]) if isinstance(steps, list) else i % steps == 0
    return "sparse" if i >= values["first_k_dense_replace"] and on else "dense"


def kimi_linear_types(key: str) -> Kind:
    """Kimi Linear: by a list of indices from one on, else every fourth but the first."""
    listed = indices(key, FULL, LINEAR, base=1)
    unlisted = formula(lambda _, i, __: FULL if i and i % 4 == 0 else LINEAR)

    def kind(values: Values) -> Kind:
        return unlisted if values[key] is None else listed

    return Kind(lambda v, n: kind(v).expand(v, n), lambda wanted, v, o: kind(v).fit(wanted, v, o))


_COMPRESSED = {0: SLIDING, 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}


def compressed_type(values: Values, i: int, _: int) -> str:
    """DeepSeek-V4: by a list of ratios, else two heavily compressed layers and then every other one."""
    ratios = values["compress_ratios"]
    ratio = ratios[i] if ratios else 128 if i % 2 == 0 or i < 2 else 4  # noqa: PLR2004
    return _COMPRESSED.get(ratio, str(ratio))
