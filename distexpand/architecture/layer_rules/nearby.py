"""Layer orders near one that can't be expressed, which can: computed by trying, never guessed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations

from distexpand.architecture.layer_rules.rule import Origin

Run = tuple[int, int, int]
"""Source, first layer, and the layer after the last, of layers that follow each other."""

_FARTHEST = 8
_MOST_TRIES = 1500
_MOST_RUNS = 12
_MOST_ANSWERS = 3


def nearby_orders(
    origins: Sequence[Origin], num_layers: Mapping[int, int], works: Callable[[Sequence[Origin]], bool]
) -> list[str]:
    """Return layer ranges near an order that can be expressed, the nearest first; none where none is found.

    Ranges that add up to one aren't returned: they would expand nothing.

    Args:
        origins: where every output layer was to come from.
        num_layers: how many layers each source has.
        works: whether an order can be expressed.
    """
    asked = _runs(origins)
    if len(asked) > _MOST_RUNS:
        return []
    found: list[str] = []
    for tried, moved in enumerate(_moved(asked, num_layers)):
        if tried == _MOST_TRIES or len(found) == _MOST_ANSWERS:
            break
        order = [(source, layer) for source, start, stop in moved for layer in range(start, stop)]
        runs = _runs(order)
        text = ", ".join(f"[{start}, {stop}]" for _, start, stop in runs)
        if len(runs) > 1 and text not in found and works(order):
            found.append(text)
    return found


def _runs(origins: Sequence[Origin]) -> list[Run]:
    runs: list[Run] = []
    for source, layer in origins:
        if runs and runs[-1][0] == source and runs[-1][2] == layer:
            runs[-1] = (source, runs[-1][1], layer + 1)
        else:
            runs.append((source, layer, layer + 1))
    return runs


def _moved(runs: Sequence[Run], num_layers: Mapping[int, int]) -> Iterator[list[Run]]:
    """Yield the runs with one or two of their ends moved, the smallest moves first."""
    ends = [(run, side) for run in range(len(runs)) for side in (1, 2)]
    steps = [step for step in range(-_FARTHEST, _FARTHEST + 1) if step]
    one = (((end, step),) for end in ends for step in steps)
    two = (
        ((first, step), (second, other))
        for first, second in combinations(ends, 2)
        for step in steps
        for other in steps
    )
    moves = sorted(chain(one, two), key=lambda move: (sum(abs(step) for _, step in move), len(move)))
    for move in moves:
        changed = [list(run) for run in runs]
        for (run, side), step in move:
            changed[run][side] += step
        if all(0 <= start < stop <= num_layers[source] for source, start, stop in changed):
            yield [(source, start, stop) for source, start, stop in changed]
