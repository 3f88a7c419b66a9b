"""Zamba2-2.7B: nine hybrid layers take turns with two shared blocks, which hold an adapter for each."""

import pytest

from distexpand.errors import ArchitectureError
from tests.published.conftest import Planning
from tests.published.reading import changes, copied
from tests.support.published import published

NAME = "zamba2-2.7b"

ADAPTERS = {
    # block 0, stored in layer 6: hybrid layers 0, 2, 4, ... of the output and whose adapter each has
    (6, 0): 0,
    (6, 2): 2,
    (6, 4): 2,
    (6, 6): 4,
    (6, 8): 6,
    (6, 10): 8,
    # block 1, stored in layer 12
    (12, 1): 1,
    (12, 3): 3,
    (12, 5): 3,
    (12, 7): 5,
    (12, 9): 7,
}


def test_adapters_follow_the_hybrid_layers_that_they_are_for(planned: Planning) -> None:
    made = planned(NAME, (0, 25), (13, 54))
    assert changes(published(NAME), made) == {
        "num_hidden_layers": 66,
        "hybrid_layer_ids": [6, 12, 18, 24, 30, 36, 42, 48, 54, 59, 63],
        "layers_block_type": [
            "hybrid" if layer in {6, 12, 18, 24, 30, 36, 42, 48, 54, 59, 63} else "mamba"
            for layer in range(66)
        ],
    }
    shared = {new: old for new, old in copied(made).items() if "shared_transformer" in new}
    adapters = {new: old for new, old in shared.items() if "adapter_list" in new}
    assert adapters == {
        _adapter(layer, new, part): _adapter(layer, old, part)
        for (layer, new), old in ADAPTERS.items()
        for part in (0, 1)
    }
    assert all(new == old for new, old in shared.items() if new not in adapters)
    assert {new.split(".")[2] for new in shared} == {"6", "12"}


def _adapter(layer: int, user: int, part: int) -> str:
    block = f"model.layers.{layer}.shared_transformer"
    return f"{block}.feed_forward.gate_up_proj_adapter_list.{user}.{part}.weight"


def test_a_hybrid_layer_that_would_get_the_other_block_is_refused(planned: Planning) -> None:
    with pytest.raises(
        ArchitectureError, match="layer 6 can't become output layer 7: it uses shared block 0"
    ):
        planned(NAME, (0, 7), (6, 54))
