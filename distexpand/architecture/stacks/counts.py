"""Layer counts in a config: every place that may say how many layers a stack has.

Configs keep the count under a dozen names, nested up to three deep, and some
only as the length of a list. Every such place is collected; which one counts
which stack is decided against the tensor names, never by the config alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

GENERIC_COUNTS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
    "num_layers_per_stack",
    "num_blocks",
    "n_blocks",
    "layers",
    "depth",
)
DECODER_COUNTS = ("decoder_layers", "num_decoder_layers", "dec_layers")
ENCODER_COUNTS = ("encoder_layers", "num_encoder_layers", "enc_layers")
COUNT_KEYS = (*GENERIC_COUNTS, *DECODER_COUNTS, *ENCODER_COUNTS)
"""Keys that hold the number of layers, of whichever stack."""

BEYOND_KEYS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_layers", "mtp_num_hidden_layers")
"""Keys that hold the number of layers stored behind the last one (multi-token prediction)."""

_COUNTED_BY_LENGTH = re.compile(r"(layer|block)s?(_block)?_(type|pattern)s?$|^hybrid_override_pattern$")
_NOT_THE_STACK = re.compile(r"mtp|nextn")
_MOST_LEVELS = 3

_ABSENT_DECODER_COUNT = frozenset({"t5", "mt5", "umt5", "longt5", "switch_transformers", "pop2piano", "udop"})
"""Models whose decoder is as deep as the encoder where `num_decoder_layers` isn't given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A layer count: the keys that lead to it, and whether it is the length of what lies there.

    What lies there counts `blocks` for each of the `value` layers.
    """

    path: tuple[str, ...]
    value: int
    by_length: bool = False
    blocks: int = 1

    @property
    def key(self) -> str:
        """The innermost key."""
        return self.path[-1]


def layer_counts(config: Mapping[str, Any]) -> list[Count]:
    """Return every place that may count layers, outer levels first, lengths of lists after numbers."""
    levels = list(_levels(config, ()))
    return [
        *(count for path, level in levels for count in _numbers(path, level)),
        *(count for path, level in levels for count in _lengths(path, level)),
    ]


def layers_beyond(config: Mapping[str, Any], count: Count) -> int:
    """Return how many layers the config says are stored behind those that `count` counts."""
    level: Any = config
    levels = [config]
    for key in count.path[:-1]:
        level = level[key]
        levels.append(level)
    said = (inner.get(key) for inner in reversed(levels) for key in BEYOND_KEYS)
    return next((value for value in said if type(value) is int and value > 0), 0)


def with_decoder_count(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config with the decoder's count spelled out where it follows from the encoder's."""
    count = config.get("num_layers")
    absent = config.get("num_decoder_layers") is None and type(count) is int
    if absent and str(config.get("model_type")) in _ABSENT_DECODER_COUNT:
        return {**config, "num_decoder_layers": count}
    return config


def _levels(
    level: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    yield path, level
    if len(path) < _MOST_LEVELS:
        for key, inner in level.items():
            if isinstance(inner, Mapping) and isinstance(key, str):
                yield from _levels(inner, (*path, key))


def _numbers(path: tuple[str, ...], level: Mapping[str, Any]) -> Iterator[Count]:
    for key in COUNT_KEYS:
        value = level.get(key)
        if type(value) is int and value > 0:
            yield Count(path=(*path, key), value=value)


def _lengths(path: tuple[str, ...], level: Mapping[str, Any]) -> Iterator[Count]:
    for key, value in level.items():
        per_layer = isinstance(value, list | str) and len(value) > 1
        if per_layer and _COUNTED_BY_LENGTH.search(str(key)) and not _NOT_THE_STACK.search(str(key)):
            yield Count(path=(*path, key), value=len(value), by_length=True)
