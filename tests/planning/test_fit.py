"""Sources that don't fit into one model are refused before anything is written."""

import pytest

from distexpand.errors import RecipeError
from distexpand.planning.check import shard_header
from distexpand.planning.sources import SourceModel
from tests.planning.catalogs import HIDDEN, LAYER, built, catalog_model, models_of

TWO = """
slices:
  - sources: [{model: a, layer_range: [0, 3]}]
  - sources: [{model: b, layer_range: [2, 4]}]
merge_method: passthrough
"""

BIASED = {**LAYER, "self_attn.q_proj.bias": (HIDDEN,)}
DERIVED = {**LAYER, "self_attn.rotary_emb.inv_freq": (2,)}


def names(a: SourceModel, b: SourceModel) -> set[str]:
    plan = built(TWO, models_of(a, b)).plan
    return {name for shard in plan.shards for name in shard_header(shard).tensors}


def test_a_layer_that_lacks_a_tensor_of_the_base_model_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"b: layer 2 .* a has 'self_attn\.q_proj\.bias'"):
        names(catalog_model("a", layer=BIASED), catalog_model("b"))


def test_a_layer_with_a_tensor_that_the_base_model_lacks_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"b has 'self_attn\.q_proj\.bias' in such a layer, a doesn't"):
        names(catalog_model("a"), catalog_model("b", layer=BIASED))


def test_buffers_that_models_compute_themselves_may_be_there_or_not() -> None:
    with_buffers, without = catalog_model("a", layer=DERIVED), catalog_model("b")
    assert "model.layers.0.self_attn.rotary_emb.inv_freq" in names(with_buffers, without)
    made = names(catalog_model("a"), catalog_model("b", layer=DERIVED))
    assert "model.layers.3.self_attn.rotary_emb.inv_freq" in made


def test_an_output_without_a_head_is_refused() -> None:
    tied = catalog_model("b", head=False, tie_word_embeddings=True)
    with pytest.raises(RecipeError, match=r"the output would have no 'lm_head\.weight'"):
        names(catalog_model("a", tie_word_embeddings=False), tied)


def test_a_head_that_would_be_ignored_is_refused() -> None:
    tied = catalog_model("a", head=False, tie_word_embeddings=True)
    with pytest.raises(RecipeError, match=r"b has 'lm_head\.weight'.* ignored on loading"):
        names(tied, catalog_model("b", tie_word_embeddings=False))


def test_a_tied_head_may_be_stored_or_not() -> None:
    stored, absent = (
        catalog_model(name, head=head, tie_word_embeddings=True) for name, head in (("a", True), ("b", False))
    )
    assert "lm_head.weight" not in names(stored, absent)
    absent, stored = (
        catalog_model(name, head=head, tie_word_embeddings=True) for name, head in (("a", False), ("b", True))
    )
    assert "lm_head.weight" in names(absent, stored)
