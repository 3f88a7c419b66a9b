"""Rules of depth, of a layer's own index, and of bonds between layers.

What these decide can't be listed by layer: a number divided by the depth, a
layer that computes with its place in the stack, one that reads what another
layer has computed. A bond holds in a new order if the layer meant is a copy of
the same source layer.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from distexpand.architecture.layer_rules.rule import Facts, Kind, Origin, Ref, Values

Change = dict[str, Any]


def nothing(_: Facts, __: Values, ___: Sequence[Origin]) -> Iterator[Change]:
    """Propose nothing: no value expresses another order."""
    yield from ()


def divided_by_root_of_depth(key: str) -> Kind:
    """Every layer's output is multiplied by `key` / sqrt(number of layers); absent means by one."""

    def expand(values: Values, n: int) -> Facts:
        return (1.0 if values[key] is None else values[key] / math.sqrt(n),) * n

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: wanted[0] * math.sqrt(len(wanted))}

    return Kind(expand, fit)


def rescaled_by_depth(switch: str) -> Kind:
    """The class divides what it loads by the root of the depth, where `switch` is on."""

    def expand(values: Values, n: int) -> Facts:
        return (f"divided by the root of {n} once it is loaded" if values[switch] else "as stored",) * n

    return Kind(expand, nothing)


def own_index(switch: str = "") -> Kind:
    """Every layer computes with its own index, where `switch` is on."""

    def expand(values: Values, n: int) -> Facts:
        on = not switch or values[switch]
        return tuple(f"number {i}" if on else "" for i in range(n))

    return Kind(expand, nothing)


def own_index_and_depth(key: str, word: str) -> Kind:
    """Layers whose entry in the list `key` is `word` compute with their own index and the depth."""

    def expand(values: Values, n: int) -> Facts:
        listed = values[key] or ()
        return tuple(f"number {i} of {n}" if i < len(listed) and listed[i] == word else "" for i in range(n))

    return Kind(expand, nothing)


def last_must_be(key: str, word: str) -> Kind:
    """The class makes the last entry of the list `key` into `word`, whatever is there."""

    def expand(values: Values, n: int) -> Facts:
        listed = tuple(values[key] or (word,) * n)
        return (*listed[: n - 1], word) if n else ()

    return Kind(expand, nothing)


def shared_tail(count: str, types: str) -> Kind:
    """The last `count` layers read keys and values of the last layer of their type before them."""

    def expand(values: Values, n: int) -> Facts:
        kinds = tuple(values[types] or ("",) * n)
        own = max(n - (values[count] or 0), 0)
        last = {kind: i for i, kind in enumerate(kinds[:own])}
        tail = tuple(_shares(last, kind) for kind in kinds[own:n])
        return (*("computes its own keys and values",) * own, *tail)

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {count: sum(isinstance(fact, Ref) for fact in wanted)}

    return Kind(expand, fit)


def _shares(last: dict[str, int], kind: str) -> Ref | str:
    if kind not in last:
        return "has no layer of its type to read keys and values of"
    return Ref("reads keys and values of", last[kind])


def shared_sources(key: str) -> Kind:
    """Layer i reads keys and values of the layer that entry i of the list `key` names, or its own."""

    def expand(values: Values, n: int) -> Facts:
        listed = list(range(n)) if values[key] is None else values[key]
        if len(listed) != n:
            return ("",) * n
        own = "computes its own keys and values"
        return tuple(own if listed[i] == i else Ref("reads keys and values of", listed[i]) for i in range(n))

    def fit(wanted: Facts, _: Values, origins: Sequence[Origin]) -> Iterator[Change]:
        latest: dict[Origin, int] = {}
        found = []
        for i, (fact, origin) in enumerate(zip(wanted, origins, strict=True)):
            if isinstance(fact, Ref):
                found.append(latest.get(fact.layer, i))  # type: ignore[arg-type]
            else:
                latest[origin] = i
                found.append(i)
        yield {key: found}

    return Kind(expand, fit)


def reads_previous(key: str, owner: str, reader: str) -> Kind:
    """A `reader` in the list `key` reads what the `owner` nearest before it has computed."""

    def expand(values: Values, n: int) -> Facts:
        facts: list[Any] = []
        last = None
        for i, word in enumerate((values[key] or (owner,) * n)[:n]):
            last = i if word == owner else last
            shares = word == reader and last is not None
            facts.append(Ref("reads the index of", last) if shares and last is not None else word)
        return tuple(facts)

    return Kind(expand, nothing)


def in_turn(key: str, word: str, blocks: str) -> Kind:
    """Layers whose entry in the list `key` is `word` use one of `blocks` shared blocks, in turn."""

    def expand(values: Values, n: int) -> Facts:
        listed = (values[key] or ())[:n]
        seen = 0
        facts = []
        for entry in listed:
            facts.append(f"number {seen % max(values[blocks] or 1, 1)}" if entry == word else "")
            seen += entry == word
        return (*facts, *[""] * (n - len(facts)))

    return Kind(expand, nothing)


def multiple_of_depth(key: str) -> Kind:
    """`key` counts every layer as often as it is run."""

    def expand(values: Values, n: int) -> Facts:
        return ((values[key] or n) / n,) * n

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: round(wanted[0] * len(wanted))}

    return Kind(expand, fit)


def numbered(key: str, *, base: int) -> Kind:
    """Layers in the list `key` of indices use the table that their place in the list names."""

    def expand(values: Values, n: int) -> Facts:
        listed = list(values[key] or ())
        return tuple(f"table {listed.index(i + base)}" if i + base in listed else "" for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: [i + base for i, fact in enumerate(wanted) if fact]}

    return Kind(expand, fit)


def shares_of_depth(parts: str) -> Kind:
    """Every (depth // `parts`)-th layer has something more."""

    def expand(values: Values, n: int) -> Facts:
        step = max(n // values[parts], 1) if values[parts] else n + 1
        return tuple("adapted" if (i + 1) % step == 0 else "plain" for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        for count in range(1, len(wanted) + 1):
            yield {parts: count}

    return Kind(expand, fit)


def steps_by_count(count: str) -> Kind:
    """`count` of the layers have experts, evenly spread: layer i where i modulo depth // count is 1."""

    def expand(values: Values, n: int) -> Facts:
        step = n // values[count] if values[count] else n
        return tuple("MoE" if step > 0 and (step == 1 or i % step == 1) else "dense" for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        for value in range(len(wanted) + 2):
            yield {count: value}

    return Kind(expand, fit)


def parity(switch: str) -> Kind:
    """Odd layers differ from even ones, where `switch` is on."""

    def expand(values: Values, n: int) -> Facts:
        return tuple(("even", "odd")[i % 2] if values[switch] else "" for i in range(n))

    return Kind(expand, nothing)
