"""Every row of the facts table counts, and no class is left out of it without a reason."""

import pytest

from distexpand.architecture.residual.fact import NORMALISED, Fact
from distexpand.architecture.residual.facts import FACTS, NEVER_IF, NORM_BEFORE_PART
from distexpand.formats.dtypes import DType
from tests.architecture.facts_exercised import changed_by, outcome
from tests.architecture.layer_names import LayerKind, layer_kinds

CLASSES = layer_kinds()


def _published(model_type: str, *suffixes: str) -> tuple[LayerKind, ...]:
    return (LayerKind(config={"model_type": model_type}, dtypes=dict.fromkeys(suffixes, DType.BF16)),)


PUBLISHED = {
    "internlm2": _published(
        "internlm2",
        *("attention.wqkv.weight", "attention.wo.weight", "attention_norm.weight", "ffn_norm.weight"),
        *("feed_forward.w1.weight", "feed_forward.w2.weight", "feed_forward.w3.weight"),
    ),
}
"""Layers of published checkpoints whose classes aren't part of transformers."""

IMPOSSIBLE = {
    "deepseek_v4": "streams are mixed",
    "gemma3n_text": "root of two",
    "rwkv": "the first layer normalises the stream",
    **dict.fromkeys(
        (
            *("bart", "bert", "bert-generation", "bert:cross", "big_bird", "blenderbot-small", "bloom:after"),
            *("camembert", "data2vec-text", "electra", "ernie", "git", "marian", "mvp", "openai-gpt"),
            *("opt:after", "plbart", "prophetnet", "rembert", "roberta", "roc_bert", "roformer"),
            *("seq2seq/bart", "trocr", "xlm", "xlm-roberta", "xlnet", "xmod"),
        ),
        NORMALISED,
    ),
}
"""Classes of which some layer can't be an identity, and the reason."""


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact.role.name.lower()} {fact.name} {fact.model}")
def test_every_row_counts(fact: Fact) -> None:
    assert changed_by(fact, {**CLASSES, **PUBLISHED})


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_an_identity_or_refused_with_the_reason(name: str) -> None:
    refused = [found for kind in CLASSES[name] if isinstance(found := outcome(kind), str)]
    if name not in IMPOSSIBLE:
        assert not refused
    else:
        assert refused
        assert all(IMPOSSIBLE[name] in reason for reason in refused)


def test_every_place_of_norms_counts() -> None:
    named = {kind.config.get("model_type") for kinds in CLASSES.values() for kind in kinds}
    assert named >= NORM_BEFORE_PART.keys()


def test_every_telling_config_key_counts() -> None:
    told = {
        key
        for kinds in CLASSES.values()
        for kind in kinds
        for key, value in NEVER_IF.items()
        if kind.config.get(key) == value and repr(key) in str(outcome(kind))
    }
    assert told == NEVER_IF.keys()
