"""Identity blocks that are neutral in some places only."""

from typing import Any

import pytest

from distexpand.architecture.residual.places import PLACE_RULES, check_place
from distexpand.errors import ArchitectureError
from distexpand.planning.operations import Zero
from tests.planning.catalogs import built, catalog_model, models_of
from tests.planning.test_resolving import operations


def refuses(config: dict[str, Any], index: int, *, at_end: bool) -> bool:
    try:
        check_place(config, index, at_end=at_end, origin="m: layer 3")
    except ArchitectureError as error:
        return error.message.startswith(f"m: layer 3: an identity block isn't possible as layer {index}: ")
    return False


def test_a_stream_that_only_the_final_norm_sets_right() -> None:
    assert not refuses({"model_type": "beam"}, 6, at_end=True)
    assert refuses({"model_type": "beam"}, 6, at_end=False)


def test_blocks_of_layers_begin_at_every_period() -> None:
    config = {"model_type": "inkling2_text", "n_layers_per_attn_res_block": 3}
    assert [refuses(config, index, at_end=True) for index in range(5)] == [True, False, False, True, False]
    assert refuses({"model_type": "inkling2"}, 1, at_end=True)


def test_a_scaled_stream_keeps_its_sign() -> None:
    assert not refuses({"model_type": "minimax", "mlp_alpha_factor": 3.5}, 1, at_end=False)
    assert refuses({"model_type": "minimax", "mlp_alpha_factor": -1}, 1, at_end=False)


def test_embeddings_are_not_normalised_twice() -> None:
    assert refuses({"model_type": "dory"}, 0, at_end=False)
    assert not refuses({"model_type": "dory"}, 1, at_end=False)


def test_every_row_has_a_test_and_other_models_stand_anywhere() -> None:
    assert set(PLACE_RULES) == {"beam", "dory", "inkling2", "inkling2_text", "minimax"}
    assert not refuses({"model_type": "llama"}, 0, at_end=False)


def test_the_end_is_where_identity_blocks_alone_follow() -> None:
    models = models_of(catalog_model("a", model_type="beam"))
    found = operations(built("{model: a, block_expansion: {blocks: 2, where: end}}", models).plan)
    assert all(isinstance(found[f"model.layers.{i}.mlp.down_proj.weight"], Zero) for i in (4, 5))
    with pytest.raises(ArchitectureError):
        built("{model: a, block_expansion: {after: [1]}}", models)
