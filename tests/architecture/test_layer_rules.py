"""Every kind of rule: what is expanded can be fitted, and whatever some values express, fitting finds."""

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.architecture.layer_rules.bonds import (
    divided_by_root_of_depth,
    numbered,
    shared_sources,
    shared_tail,
    shares_of_depth,
    steps_by_count,
)
from distexpand.architecture.layer_rules.kinds import (
    cycle,
    every,
    from_on,
    index_text,
    indices,
    interval,
    leading,
    periodic,
    runs,
    sections,
    sparse_steps,
)
from distexpand.architecture.layer_rules.nearby import nearby_orders
from distexpand.architecture.layer_rules.rule import (
    LayerRule,
    Mismatch,
    Ref,
    expanded,
    fit_rule,
    wanted_facts,
)

MOST = 6


def rule_of(kind, **keys):
    return LayerRule(what="it", keys=keys, kind=kind)


def subsets(n):
    return [list(chosen) for size in range(n + 1) for chosen in combinations(range(n), size)]


KINDS = {
    "leading": (leading("k", "a", "b"), lambda n: [{"k": k} for k in range(n + 1)]),
    "from on": (
        from_on("k", ("on",), "a", "b"),
        lambda n: [{"k": k, "on": True} for k in range(n + 1)],
    ),
    "every": (every("p", "a", "b"), lambda n: [{"p": p} for p in range(1, n + 2)]),
    "every from the first": (every("p", "a", "b", shift=0), lambda n: [{"p": p} for p in range(1, n + 2)]),
    "periodic": (
        periodic("p", "o", "a", "b"),
        lambda n: [{"p": p, "o": o} for p in range(1, n + 2) for o in range(p)],
    ),
    "interval": (
        interval("s", "e", "p", "a", "b"),
        lambda n: [dict(zip("sep", v, strict=True)) for v in product(range(n), range(n), range(1, n + 2))],
    ),
    "indices": (indices("l", "a", "b"), lambda n: [{"l": chosen} for chosen in subsets(n)]),
    "indices from one": (
        indices("l", "a", "b", base=1),
        lambda n: [{"l": [i + 1 for i in chosen]} for chosen in subsets(n)],
    ),
    "text of indices": (
        index_text("l", "a", "b"),
        lambda n: [{"l": ",".join(map(str, chosen))} for chosen in subsets(n)],
    ),
    "sparse steps": (
        sparse_steps("s", "d", "e", words=("a", "b")),
        lambda n: [{"s": s, "d": d, "e": 4} for s in range(1, n + 2) for d in subsets(n)],
    ),
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data(), n=st.integers(1, MOST))
def test_fitting_finds_values_exactly_where_there_are_some(name, data, n):
    kind, values = KINDS[name]
    wanted = tuple(data.draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n)))
    present = data.draw(st.sampled_from(values(n)))
    origins = [(0, i) for i in range(n)]
    found = fit_rule(rule_of(kind, **present), present, wanted, origins)
    expressible = any(kind.expand(tried, n) == wanted for tried in values(n))
    assert isinstance(found, Mismatch) != expressible or name == "sparse steps"
    if not isinstance(found, Mismatch):
        assert kind.expand({**present, **found}, n) == wanted
    if kind.expand(present, n) == wanted:
        assert found == {}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=MOST), st.sampled_from([None, 1, 2]))
def test_sections_express_what_is_in_their_order(wanted, middle):
    kind = sections(("f", "m", "l"), ("a", "b", "c"))
    present = {"f": 1, "m": middle, "l": 1}
    found = fit_rule(rule_of(kind, **present), present, tuple(wanted), [(0, 0)] * len(wanted))
    assert isinstance(found, Mismatch) != (wanted == sorted(wanted))
    if not isinstance(found, Mismatch):
        assert kind.expand({**present, **found}, len(wanted)) == tuple(wanted)
        assert ("m" in found) <= (middle is not None)


@pytest.mark.parametrize(
    "values", [{"f": 8, "m": -10, "l": 8}, {"f": 3, "m": 3, "l": 3}, {"f": None, "m": 4, "l": 2}], ids=str
)
def test_sections_that_are_not_the_layers_say_nothing(values):
    assert expanded(sections(("f", "m", "l"), ("a", "b", "c")), values, 6) is None


@pytest.mark.parametrize("kind", [steps_by_count("k"), shares_of_depth("k")], ids=["steps", "shares"])
@given(depth=st.integers(1, 12), count=st.integers(1, 12), present=st.integers(1, 12))
def test_counts_spread_over_the_depth_are_found(kind, depth, count, present):
    wanted = kind.expand({"k": count}, depth)
    found = fit_rule(rule_of(kind, k=1), {"k": present}, wanted, [(0, i) for i in range(depth)])
    assert not isinstance(found, Mismatch)
    assert kind.expand({"k": present, **found}, depth) == wanted


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=8),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
)
def test_cycles_and_runs_express_every_order(wanted, part):
    origins = [(0, 0)] * len(wanted)
    for kind, present in ((cycle("l"), {"l": part}), (runs("l"), {"l": [[part, 2]]})):
        found = fit_rule(rule_of(kind, l=None), present, tuple(wanted), origins)
        assert not isinstance(found, Mismatch)
        assert kind.expand({**present, **found}, len(wanted)) == tuple(wanted)


@given(st.floats(0.1, 9), st.integers(1, 40), st.integers(1, 80))
def test_a_scale_by_depth_stays_what_it_was_for_every_layer(scale, before, after):
    kind = divided_by_root_of_depth("s")
    (was, *_) = kind.expand({"s": scale}, before)
    found = fit_rule(rule_of(kind, s=None), {"s": scale}, (was,) * after, [(0, 0)] * after)
    assert kind.expand({"s": scale, **found}, after)[0] == pytest.approx(was)
    assert fit_rule(rule_of(kind, s=None), {}, (1.0,) * after, [(0, 0)] * after) == {}


@given(st.data())
def test_shared_keys_and_values_are_those_of_a_copy_of_the_same_layer(data):
    n = data.draw(st.integers(2, 7))
    types = data.draw(st.lists(st.sampled_from("fs"), min_size=n, max_size=n))
    level = {"k": data.draw(st.integers(0, n - 1)), "t": types}
    order = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=10))
    kind = shared_tail("k", "t")
    origins = [(0, layer) for layer in order]
    wanted = wanted_facts({0: kind.expand(level, n)}, origins)
    new = {"k": level["k"], "t": [types[layer] for layer in order]}
    found = fit_rule(rule_of(kind, k=0, t=None), new, wanted, origins)
    if not isinstance(found, Mismatch):
        facts = kind.expand({**new, **found}, len(order))
        for place, layer in enumerate(order):
            was = kind.expand(level, n)[layer]
            if isinstance(was, Ref):
                assert order[facts[place].layer] == was.layer
            else:
                assert facts[place] == was


@given(st.data())
def test_sources_of_keys_and_values_follow_their_layers(data):
    n = data.draw(st.integers(1, 7))
    sources = []
    for i in range(n):
        owners = [j for j in range(i) if sources[j] == j]
        sources.append(data.draw(st.sampled_from([i, *owners])))
    order = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=10))
    kind, origins = shared_sources("l"), [(0, layer) for layer in order]
    wanted = wanted_facts({0: kind.expand({"l": sources}, n)}, origins)
    found = fit_rule(rule_of(kind, l=None), {"l": sources}, wanted, origins)
    served = all(sources[o] == o or sources[o] in order[:place] for place, o in enumerate(order))
    assert isinstance(found, Mismatch) != served
    if served:
        listed = found.get("l", sources)
        assert [order[listed[place]] for place in range(len(order))] == [sources[o] for o in order]


def test_tables_by_place_in_a_list_can_be_renumbered_but_not_used_twice():
    kind = numbered("l", base=1)
    facts = kind.expand({"l": [2, 4]}, 4)
    for order, expected in (([0, 0, 1, 2, 3], {"l": [3, 5]}), ([1, 0, 3], {"l": [1, 3]})):
        origins = [(0, layer) for layer in order]
        assert (
            fit_rule(rule_of(kind, l=None), {"l": [2, 4]}, wanted_facts({0: facts}, origins), origins)
            == expected
        )
    for order in ([0, 1, 1], [3], [3, 1]):
        origins = [(0, layer) for layer in order]
        found = fit_rule(rule_of(kind, l=None), {"l": [2, 4]}, wanted_facts({0: facts}, origins), origins)
        assert isinstance(found, Mismatch)


def test_nearby_orders_work_are_nearest_first_and_expand_something():
    asked = [(0, layer) for layer in (*range(5), *range(2, 8))]
    found = nearby_orders(asked, {0: 8}, lambda order: len(order) % 4 == 0)
    assert found[0] == "[0, 6], [2, 8]"
    assert all(text.count("[") > 1 for text in found)
    assert nearby_orders(asked, {0: 8}, lambda _: False) == []
