"""Orders of layers that a published model's class can't be told: refused, with layer and key named."""

from dataclasses import dataclass

import pytest

from distexpand.errors import ArchitectureError
from tests.published.conftest import Planning

_FEW_ROUTED = {"n_routed_experts": 4}


@dataclass(frozen=True, slots=True)
class Refused:
    """A model, ranges of its layers, how it is thinned, and the output layer and key at fault."""

    model: str
    ranges: tuple[tuple[int, int], ...]
    fewer: dict[str, int]
    layer: int
    key: str

    def __str__(self) -> str:
        return self.model


@pytest.mark.parametrize(
    "case",
    [
        # layer 2 is dense, behind layers with experts
        Refused("deepseek-v3", ((0, 10), (2, 61)), _FEW_ROUTED, 10, "first_k_dense_replace"),
        Refused("kimi-k2", ((0, 30), (0, 61)), _FEW_ROUTED, 30, "first_k_dense_replace"),
        Refused("glm-4.5-air", ((0, 20), (0, 46)), _FEW_ROUTED, 20, "first_k_dense_replace"),
        # attention at 4, 12, 22, 30: no period; layer 20 would have it, and is source layer 18
        Refused("jamba-1.5-mini", ((0, 18), (16, 32)), {}, 20, "attn_layer_period"),
    ],
    ids=str,
)
def test_what_no_value_can_say_is_refused(case: Refused, planned: Planning) -> None:
    with pytest.raises(ArchitectureError, match=rf"output layer {case.layer}\b") as caught:
        planned(case.model, *case.ranges, **case.fewer)
    assert case.key in caught.value.message
    assert caught.value.hint
