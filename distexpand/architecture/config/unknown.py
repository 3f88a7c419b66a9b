"""Values of a config that seem to speak of layers, of models that no row knows.

Lists by layer follow by their length. A list of indices follows if it shows by
itself whether it counts from 0 or from 1; everything else is kept and reported.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from distexpand.architecture.config.lists import is_known
from distexpand.architecture.layer_rules.rule import Origin
from distexpand.findings import Finding
from distexpand.formats.json_text import brief

_SPEAKS_OF_LAYERS = re.compile(
    r"(layers?|blocks?)_(.*_)?(ids|idxs?|ind(ic|ex)es|indexs)$|^block_types$|_pattern$|"
    r"layers?_(period|offset|interval|freq|step|(start|end)_index|idx|index)$|every_n_layers$"
)
"""Names of keys that speak of layers by index, period or pattern."""

_OF_OTHER_LAYERS = re.compile(r"mtp|nextn|vision|audio|image|feature|^_|layerdrop")


def report_lists(paths: Collection[str]) -> list[Finding]:
    """Report lists that were taken to be per layer by their length alone."""
    return [
        Finding(
            code="config-list",
            message=f"config.json: {path!r} has an entry per layer by its length, and was taken for that",
            advice="Check that it is; its entries have followed their layers.",
        )
        for path in paths
        if not is_known(path)
    ]


def follow_indices(
    levels: Mapping[int, Mapping[str, Any]],
    known: Collection[str],
    num_layers: int,
    origins: Sequence[Origin],
) -> tuple[dict[str, Any], list[Finding]]:
    """Return the new values of unknown lists of indices, and what was found of keys like them.

    Args:
        levels: the level that counts the stack of every source by its number, the base's by 0.
        known: keys that something is known of.
        num_layers: the base's.
        origins: where every output layer comes from.
    """
    changes: dict[str, Any] = {}
    findings = []
    used = sorted({0, *(source for source, _ in origins)})
    for key, value in levels[0].items():
        if not _SPEAKS_OF_LAYERS.search(key) or _OF_OTHER_LAYERS.search(key):
            continue
        if value in (None, [], "", 0, False, {}) or key in known:
            continue
        base = _base(value, num_layers)
        listed = {source: _indices(levels[source].get(key)) for source in used}
        if base is None or None in listed.values():
            findings.append(_kept(key, value))
        else:
            changes[key] = [
                place + base
                for place, (source, layer) in enumerate(origins)
                if layer + base in (listed[source] or ())
            ]
            findings.append(_followed(key, changes[key], base))
    return changes, findings


def _indices(value: Any) -> frozenset[int] | None:
    """Return the indices that a source lists, or nothing where that is no list of them."""
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(type(index) is int for index in value):
        return None
    return frozenset(value)


def _base(value: Any, num_layers: int) -> int | None:
    """Return what a list of indices counts from, or nothing where it doesn't show it."""
    if not isinstance(value, list) or not all(type(index) is int for index in value):
        return None
    if value != sorted(set(value)) or value[-1] > num_layers or value[0] < 0:
        return None
    return (
        0 if value[0] == 0 and value[-1] < num_layers else 1 if value[-1] == num_layers and value[0] else None
    )


def _followed(key: str, value: Any, base: int) -> Finding:
    return Finding(
        code="config-list",
        message=f"config.json: {key!r} was taken for layers counted from {base}, and is {brief(value)} now",
        advice="Check that it names the right layers.",
    )


def _kept(key: str, value: Any) -> Finding:
    return Finding(
        code="config-rule",
        message=f"config.json: {key!r} = {brief(value)} may speak of layers and is kept as it is",
        advice="Check that it is right for the new order of layers.",
    )
