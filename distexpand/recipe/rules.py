"""Arithmetic on rules: gradients at a point, reduction, and products.

All of it works without tensor names: two lists of rules are equal here only if they
give the same number for every possible name.
"""

from distexpand.recipe.canonical import Rule
from distexpand.recipe.draft import Gradient

# Sets of names of which no tensor's name holds two: modules inside a block, and parts of one.
_ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "out_proj", "query_key_value"})
_FEED_FORWARD = frozenset(
    {"gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "dense_h_to_4h", "dense_4h_to_h"}
)
_NORMS = frozenset({"input_layernorm", "post_attention_layernorm"})
_OUTSIDE = frozenset({"embed_tokens", "lm_head"})
_EXCLUSIVE = (
    _ATTENTION | _FEED_FORWARD | _NORMS | _OUTSIDE,
    {"self_attn"} | _FEED_FORWARD | _NORMS | _OUTSIDE,
    {"mlp"} | _ATTENTION | _NORMS | _OUTSIDE,
    {"self_attn", "mlp"},
)


def rules_at(gradients: tuple[Gradient, ...], position: float) -> tuple[Rule, ...]:
    """Return the rules at `position` of a slice: 0 at its first layer, 1 at its last."""
    return tuple(Rule(filter=g.filter, value=_interpolate(g.values, position)) for g in gradients)


def _interpolate(values: tuple[float, ...], position: float) -> float:
    place = position * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    share = place - low
    return (1 - share) * values[low] + share * values[high]


def without_shadowed(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Drop rules that can never be the first to match."""
    kept: list[Rule] = []
    for rule in rules:
        if not any(_implies(rule.filter, earlier.filter) for earlier in kept):
            kept.append(rule)
    return tuple(kept)


def without_idle(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Drop shadowed rules, and rules at the end that say the default 1."""
    kept = list(without_shadowed(rules))
    while kept and kept[-1].value == 1.0:
        kept.pop()
    return tuple(kept)


def _implies(narrow: str | None, wide: str | None) -> bool:
    """Whether every name that `narrow` matches is matched by `wide`."""
    return wide is None or (narrow is not None and wide in narrow)


class UndecidableProductError(ValueError):
    """Two filters may match the same tensor, and no single filter says both."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"`{first}` and `{second}` may match the same tensor")


def product(left: tuple[Rule, ...], right: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the rules whose value for any name is the product of both sides' values.

    Raises:
        UndecidableProductError: if the product can't be said with single filters.
    """
    default = Rule(filter=None, value=1.0)
    pairs = ((a, b) for a in (*left, default) for b in (*right, default))
    rules = tuple(rule for a, b in pairs for rule in _both(a, b))
    return without_idle(rules)


def _both(a: Rule, b: Rule) -> tuple[Rule, ...]:
    value = a.value * b.value
    if _implies(a.filter, b.filter):
        return (Rule(filter=a.filter, value=value),)
    if _implies(b.filter, a.filter):
        return (Rule(filter=b.filter, value=value),)
    if a.filter is None or b.filter is None:
        return ()
    if any({a.filter, b.filter} <= names for names in _EXCLUSIVE):
        return ()
    raise UndecidableProductError(a.filter, b.filter)
