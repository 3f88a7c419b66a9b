"""Identity blocks whose inner results other layers read: refused.

A copy whose outputs are zero still computes its keys and values, or its index,
and from another input than the layer that it copies. Where a bond of the rules
leads a later layer to the copy instead of to the original, that layer is no
longer what it was, though the order of layers can be expressed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from distexpand.architecture.layer_rules.rule import LayerRule, Origin, Ref
from distexpand.errors import ArchitectureError


def refuse_read_identities(
    rules: Sequence[LayerRule],
    level: Mapping[str, Any],
    origins: Sequence[Origin],
    identities: Collection[int],
) -> None:
    """Refuse identity blocks that layers which aren't identity blocks read.

    Args:
        rules: the rules of the output's layers.
        level: the output's config level, with all that the rules changed.
        origins: where every output layer comes from.
        identities: output layers that are identity blocks.

    Raises:
        ArchitectureError: a layer would read an identity block's result; names both.
    """
    if not identities:
        return
    for rule in rules:
        for reader, fact in enumerate(rule.facts(level, len(origins))):
            if not isinstance(fact, Ref) or not isinstance(fact.layer, int):
                continue
            if fact.layer in identities and reader not in identities:
                raise _refused(fact, fact.layer, reader, origins)


def _refused(fact: Ref, read: int, reader: int, origins: Sequence[Origin]) -> ArchitectureError:
    layer = origins[read][1]
    return ArchitectureError(
        f"output layer {read} can't be an identity block: output layer {reader}, a copy of layer "
        f"{origins[reader][1]}, {fact.bond} it, which is given another input than layer {layer} is",
        hint=f"Put the identity block before layer {layer}, or make it of a layer that reads another.",
    )
