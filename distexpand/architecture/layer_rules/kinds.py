"""The kinds of rules: counts of leading layers, periods, sets of indices, patterns.

Each function makes a `Kind` of the names of its keys, and of the words for the
layers that the rule tells apart.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from distexpand.architecture.layer_rules.rule import Facts, Kind, Origin, Values

Change = dict[str, Any]


def leading(key: str, first: str, rest: str) -> Kind:
    """The first `key` layers are `first`."""

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: _run(wanted, first)}

    return Kind(lambda v, n: tuple(first if i < v[key] else rest for i in range(n)), fit)


def from_on(key: str, switches: Sequence[str], rest: str, first: str) -> Kind:
    """The layers from number `key` on are `rest`, where all `switches` are on."""

    def expand(values: Values, n: int) -> Facts:
        on = all(values[switch] not in (None, False) for switch in switches)
        return tuple(rest if on and i >= values[key] else first for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: _run(wanted, first)}

    return Kind(expand, fit)


def leading_with_step(count: str, step: str, first: str, rest: str) -> Kind:
    """Layers from `count` on are `rest` where their index is a multiple of `step`.

    The step isn't fitted: some classes don't read it.
    """

    def expand(values: Values, n: int) -> Facts:
        start, every = values[count] or 0, values[step] or 1
        return tuple(rest if i >= start and i % every == 0 else first for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {count: _run(wanted, first)}

    return Kind(expand, fit)


def sections(keys: tuple[str, str, str], words: tuple[str, str, str]) -> Kind:
    """The first layers are of one section, the last of another, those between of a third.

    `keys` count them in the order of the layers; a null under the second one means the rest.
    """
    first, middle, last = keys

    def expand(values: Values, n: int) -> Facts:
        rest = n - values[first] - values[last]
        between = rest if values[middle] is None else values[middle]
        gap = rest - between
        lengths = values[first], between, gap, values[last]
        sections = words[0], words[1], "none", words[2]
        return tuple(word for word, length in zip(sections, lengths, strict=True) for _ in range(length))

    def fit(wanted: Facts, values: Values, _: Sequence[Origin]) -> Iterator[Change]:
        lengths = {key: len(_where(wanted, word)) for key, word in zip(keys, words, strict=True)}
        yield {key: length for key, length in lengths.items() if values[key] is not None}

    return Kind(expand, fit)


def every(key: str, hit: str, miss: str, *, shift: int = 1) -> Kind:
    """Layer i is `hit` where i + `shift` is a multiple of `key`; 0 hits none.

    A text spells the pattern out, as in `LLLG`: its last letter's layers are hit.
    """

    def expand(values: Values, n: int) -> Facts:
        period = values[key]
        if isinstance(period, str) and period:
            cycle = [letter == period[-1] for letter in period]
            return tuple(hit if cycle[i % len(cycle)] else miss for i in range(n))
        return tuple(hit if period and (i + shift) % period == 0 else miss for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        hits = _where(wanted, hit)
        if not hits:
            yield {key: len(wanted) + shift + 1}
        else:
            yield {key: hits[0] + shift or (hits[1] if len(hits) > 1 else len(wanted))}

    return Kind(expand, fit)


def periodic(period: str, offset: str, hit: str, miss: str) -> Kind:
    """Layer i is `hit` where i modulo `period` is `offset`, which is less than the period."""

    def expand(values: Values, n: int) -> Facts:
        return tuple(hit if i % values[period] == values[offset] else miss for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        hits = _where(wanted, hit)
        first = hits[0] if hits else len(wanted)
        step = hits[1] - hits[0] if len(hits) > 1 else len(wanted) + 1
        if first < step:
            yield {period: step, offset: first}

    return Kind(expand, fit)


def interval(start: str, end: str, step: str, hit: str, miss: str) -> Kind:
    """Layer i is `hit` from `start` to `end`, both included, where i + 1 is a multiple of `step`."""

    def expand(values: Values, n: int) -> Facts:
        last = n - 1 if values[end] == -1 else values[end]
        return tuple(
            hit if values[start] <= i <= last and (i + 1) % values[step] == 0 else miss for i in range(n)
        )

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        hits = _where(wanted, hit)
        if hits:
            gap = hits[1] - hits[0] if len(hits) > 1 else hits[0] + 1
            yield {start: hits[0], end: hits[-1], step: 1}
            yield {start: hits[0], end: hits[-1], step: gap}
        else:
            yield {start: len(wanted), end: len(wanted) - 1, step: 1}

    return Kind(expand, fit)


def indices(key: str, hit: str, miss: str, *, base: int = 0) -> Kind:
    """The layers whose index, counted from `base`, is in the list `key` are `hit`."""

    def expand(values: Values, n: int) -> Facts:
        listed = set(values[key] or ())
        return tuple(hit if i + base in listed else miss for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: [i + base for i in _where(wanted, hit)]}

    return Kind(expand, fit)


def indices_or(key: str, otherwise: Callable[[Values, int], list[int]], hit: str, miss: str) -> Kind:
    """Like `indices`; the layers that `otherwise` names where there is no list."""
    listed = indices(key, hit, miss)

    def expand(values: Values, n: int) -> Facts:
        given = values[key]
        return listed.expand({key: otherwise(values, n) if given is None else given}, n)

    return Kind(expand, listed.fit)


def index_text(key: str, hit: str, miss: str) -> Kind:
    """Like `indices`, with the indices in a text between commas."""

    def expand(values: Values, n: int) -> Facts:
        given = values[key]
        parts = given.split(",") if isinstance(given, str) else given or ()
        listed = {int(part) for part in parts if str(part).strip()}
        return tuple(hit if i in listed else miss for i in range(n))

    def fit(wanted: Facts, values: Values, _: Sequence[Origin]) -> Iterator[Change]:
        found = _where(wanted, hit)
        yield {key: ",".join(map(str, found)) if isinstance(values[key], str) else found}

    return Kind(expand, fit)


def sparse_steps(step: str, dense: str, experts: str, *, words: tuple[str, str] = ("MoE", "dense")) -> Kind:
    """Layer i has experts where i + 1 is a multiple of `step`, unless the list `dense` names it."""
    sparse, plain = words

    def expand(values: Values, n: int) -> Facts:
        named = set(values[dense] or ())
        return tuple(
            sparse if i not in named and values[experts] and (i + 1) % values[step] == 0 else plain
            for i in range(n)
        )

    def fit(wanted: Facts, values: Values, _: Sequence[Origin]) -> Iterator[Change]:
        found = _where(wanted, plain)
        yield {dense: [i for i in found if (i + 1) % values[step] == 0]}
        yield {dense: found, step: 1}

    return Kind(expand, fit)


def cycle(key: str) -> Kind:
    """Layer i is entry i of the list `key`, which starts again at its end."""

    def expand(values: Values, n: int) -> Facts:
        return tuple(values[key][i % len(values[key])] for i in range(n))

    def fit(wanted: Facts, _: Values, __: Sequence[Origin]) -> Iterator[Change]:
        yield {key: list(wanted)}

    return Kind(expand, fit)


def runs(key: str) -> Kind:
    """Pairs of words and how often they are repeated: `[[["global", "local"], 12]]`."""

    def expand(values: Values, n: int) -> Facts:
        words = [word for part, times in values[key] for _ in range(times) for word in part]
        return (*words[:n], *[""] * (n - len(words)))

    def fit(wanted: Facts, values: Values, _: Sequence[Origin]) -> Iterator[Change]:
        for part, _times in values[key]:
            times, rest = divmod(len(wanted), len(part) or 1)
            if not rest:
                yield {key: [[list(part), times]]}
        yield {key: [[list(wanted), 1]]}

    return Kind(exact(expand, key), fit)


def exact(expand: Callable[[Values, int], Facts], key: str) -> Callable[[Values, int], Facts]:
    """Make repeated words count only where they are as many as the layers, as their class demands."""

    def checked(values: Values, n: int) -> Facts:
        total = sum(len(part) * times for part, times in values[key])
        return expand(values, n) if total == n else ("",) * n

    return checked


def _run(facts: Facts, word: str) -> int:
    return next((i for i, fact in enumerate(facts) if fact != word), len(facts))


def _where(facts: Facts, word: str) -> list[int]:
    return [i for i, fact in enumerate(facts) if fact == word]
