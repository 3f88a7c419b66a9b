"""Which stack a count in the config speaks of, and what part of a model a stack is.

Told by the words that models use in tensor names and config keys alike: a
`vision_config` counts a tower whose names say so, `decoder_layers` a decoder.
A word that nobody has listed (`thinker_config`, `depth_decoder_config`) has to
occur in the prefix itself.
"""

import re
from collections.abc import Iterable

from distexpand.architecture.stacks.counts import DECODER_COUNTS, ENCODER_COUNTS, Count

_SIDE_WORDS = {
    "vision": r"vision|visual|vit|image|images|img|pixel|video",
    "audio": r"audio|speech|sound|acoustic",
    "qformer": r"qformer|q_former",
    "resampler": r"resampler|perceiver",
    "talker": r"talker|token2wav|code2wav|code_predictor|codec|depth_decoder|vocoder",
    "draft": r"mtp|nextn|draft|eagle|medusa",
}
"""Words of parts that stand beside the model proper, by kind."""

_SIDES = {kind: re.compile(rf"(^|[._])({words})([._]|$)") for kind, words in _SIDE_WORDS.items()}
_ENCODER = re.compile(r"(^|[._])(encoder|enc)([._]|$)")
_DECODER = re.compile(r"(^|[._])(decoder|dec)([._]|$)")
_TEXT = re.compile(r"(^|[._])(text|language|llm|lm)([._]|$)")

_MATCHED, _UNMATCHED, _NESTED = 4, -5, 1


def side_kinds(text: str) -> frozenset[str]:
    """Return the kinds of side parts that a prefix or a config key speaks of."""
    return frozenset(kind for kind, words in _SIDES.items() if words.search(text))


def is_encoder(prefix: str) -> bool:
    """Whether a prefix is that of an encoder beside or instead of a decoder."""
    return _ENCODER.search(prefix) is not None and _DECODER.search(prefix) is None


def is_decoder(prefix: str) -> bool:
    """Whether a prefix is that of a decoder."""
    return _DECODER.search(prefix) is not None


def agreement(prefix: str, count: Count, *, has_decoder: bool) -> int:
    """Return how well a count speaks of the stack under a prefix; below zero it doesn't.

    `has_decoder` is whether the model has a decoder beside this stack, whose count then
    can't be an encoder's.
    """
    if is_encoder(prefix) and count.key in DECODER_COUNTS and has_decoder:
        return _UNMATCHED
    if is_decoder(prefix) and count.key in ENCODER_COUNTS:
        return _UNMATCHED
    role = (is_decoder(prefix) and count.key in DECODER_COUNTS) or (
        is_encoder(prefix) and count.key in ENCODER_COUNTS
    )
    words = [re.sub(r"_?config$", "", key) for key in count.path[:-1]]
    told = {kind for word in words for kind in side_kinds(word)}
    score = 2 * role + sum(_word_agrees(prefix, word) for word in words if word)
    return score + (_UNMATCHED if side_kinds(prefix) - told else 0) - count.by_length


def _word_agrees(prefix: str, word: str) -> int:
    sides = side_kinds(word)
    if sides:
        return _MATCHED if sides & side_kinds(prefix) else _UNMATCHED
    if _TEXT.search(word):
        return (_MATCHED if _TEXT.search(prefix) else 0) + _NESTED
    return _MATCHED if word in prefix else _UNMATCHED


def rank(prefix: str, all_prefixes: Iterable[str]) -> int:
    """Return which stack comes first: language model or decoder 0, encoder 1, parts beside them 2."""
    if side_kinds(prefix):
        return 2
    beside = any(is_decoder(other) for other in all_prefixes)
    return 1 if is_encoder(prefix) and beside else 0
