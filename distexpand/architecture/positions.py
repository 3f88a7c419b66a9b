"""Tensors that belong to a place in the stack rather than to a layer.

Some models keep something in their first or last layer only: T5's first block
holds the relative positions of all blocks, ModernBERT's first layer has no
attention norm. When layers move, such a tensor has to stay where it is. Which
tensors stand at one end only is seen from the names; what may be done about
them is known for a few (`_FACTS`, one line each) and refused for the rest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Place(Enum):
    """Where a tensor stands: in the first layer only, in all but the first, in the last only."""

    FIRST = "the first layer alone has"
    NOT_FIRST = "every layer but the first has"
    LAST = "the last layer alone has"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTensor:
    """A suffix that stands at one place; `movable` says that it serves whichever layer stands there."""

    suffix: str
    place: Place
    movable: bool


_FACTS = (
    (Place.FIRST, re.compile(r"relative_attention_bias\.weight$"), True),  # T5: of use to every block
    (Place.FIRST, re.compile(r"^(pre_ln|ln0)\."), True),  # RWKV: norm of the embeddings
    (Place.NOT_FIRST, re.compile(r"^attn_norm\."), False),  # ModernBERT: no norm where the embeddings' is
    (
        Place.NOT_FIRST,
        re.compile(r"(^|\.)(v_lora|v[012]$)"),
        False,
    ),  # RWKV-7: mixes in the first layer's values
    (Place.LAST, re.compile(r"^attention\.dense_bias$"), False),  # GPT-NeoX Japanese
)
"""Place, pattern of the suffix, and whether the tensor may serve another layer that comes to stand there."""

_RULE = re.compile(r"layer|dense|replace|period|offset|interval|pattern|step")


def placed_tensors(layers: Sequence[Iterable[str]], level: Mapping[str, Any]) -> tuple[PlacedTensor, ...]:
    """Return the suffixes that stand at one end of the stack for no reason that the config gives.

    Args:
        layers: the suffixes of every layer.
        level: the level of the config that describes the stack.
    """
    sets = [frozenset(suffixes) for suffixes in layers]
    if len(sets) < 3:  # noqa: PLR2004  # of two layers each stands at an end
        return ()
    found = (
        *((suffix, Place.FIRST) for suffix in _only(sets[0], sets[1:])),
        *((suffix, Place.NOT_FIRST) for suffix in frozenset.intersection(*sets[1:]) - sets[0]),
        *((suffix, Place.LAST) for suffix in _only(sets[-1], sets[:-1])),
    )
    said = _config_tells(level, len(sets))
    known = (_placed(suffix, place, told=said) for suffix, place in sorted(found, key=str))
    return tuple(placed for placed in known if placed is not None)


def _only(one: frozenset[str], others: Sequence[frozenset[str]]) -> frozenset[str]:
    """Return what one layer has beyond any other, if without it it would be like one of them."""
    extra = one.difference(*others)
    return extra if extra and one - extra in others else frozenset()


def _placed(suffix: str, place: Place, *, told: bool) -> PlacedTensor | None:
    for at, pattern, movable in _FACTS:
        if at is place and pattern.search(suffix):
            return PlacedTensor(suffix=suffix, place=place, movable=movable)
    if told or place is Place.NOT_FIRST:
        return None
    return PlacedTensor(suffix=suffix, place=place, movable=False)


def _config_tells(level: Mapping[str, Any], num_layers: int) -> bool:
    """Whether the config has anything by which layers can be of several kinds."""
    return any(
        (isinstance(value, list) and len(value) == num_layers)
        or (
            _RULE.search(str(key))
            and type(value) in {int, list, str}
            and value not in (0, num_layers, [], "")
        )
        for key, value in level.items()
    )
