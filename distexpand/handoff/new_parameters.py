"""The parameters of an output's new layers, by the names that transformers gives them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FIRST_NUMBER = re.compile(r"(.*?\.)([0-9]{1,9})\..+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParameters:
    """Which parameters are new: copies of layers and identity blocks.

    `layers` are the new layers' places among `num_layers`. `names` are the parameters that they
    alone have, `others` all further ones of the model. `linear` and `other_linear` are the
    modules among them that multiply by a matrix, which is what adapters are put on. `elements`
    counts numbers in `names`.
    """

    layers: tuple[int, ...]
    num_layers: int
    names: tuple[str, ...]
    others: tuple[str, ...]
    linear: tuple[str, ...]
    other_linear: tuple[str, ...]
    elements: int
    other_elements: int

    @property
    def stems(self) -> tuple[str, ...]:
        """What comes before the layer's number in the names, as `model.layers.`."""
        return tuple(dict.fromkeys(match[1] for match in map(_FIRST_NUMBER.match, self.names) if match))


def numbers(layers: Iterable[int]) -> str:
    """Return layers as alternatives of a regular expression."""
    return "|".join(map(str, layers))
