from hypothesis import given
from hypothesis import strategies as st

from distexpand.recipe.canonical import Rule, first_match
from distexpand.recipe.draft import Gradient
from distexpand.recipe.rules import (
    UndecidableProductError,
    product,
    rules_at,
    without_idle,
    without_shadowed,
)

FILTERS = [None, "o_proj", "q_proj", "self_attn", "attn", "self_attn.o_proj", "mlp", "down_proj", "norm"]
NAMES = [
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.o_proj.weight",
    "model.layers.0.self_attn.v_proj.weight",
    "model.layers.0.mlp.down_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.0.input_layernorm.weight",
    "model.embed_tokens.weight",
    "lm_head.weight",
]
rule_lists = st.lists(
    st.builds(Rule, filter=st.sampled_from(FILTERS), value=st.sampled_from([0.0, 0.5, 1.0, 2.0])), max_size=5
).map(tuple)


def values(rules):
    return [first_match(rules, name, 1.0) for name in NAMES]


@given(rule_lists)
def test_reductions_change_no_value(rules):
    assert values(without_shadowed(rules)) == values(rules)
    assert values(without_idle(rules)) == values(rules)
    assert without_idle(without_idle(rules)) == without_idle(rules)


@given(rule_lists, rule_lists)
def test_product_is_the_product_or_refused(left, right):
    try:
        both = product(left, right)
    except UndecidableProductError:
        return
    assert values(both) == [a * b for a, b in zip(values(left), values(right), strict=True)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.floats(0, 1))
def test_gradients_stay_within_their_values_and_meet_their_ends(numbers, position):
    gradient = (Gradient(filter=None, values=tuple(numbers)),)
    (rule,) = rules_at(gradient, position)
    slack = 1e-9 * max(abs(number) for number in numbers)
    assert min(numbers) - slack <= rule.value <= max(numbers) + slack
    assert rules_at(gradient, 0.0)[0].value == numbers[0]
    assert rules_at(gradient, 1.0)[0].value == numbers[-1]
