"""An adapter's config: what decides its numbers is read, what can't be merged is refused by key."""

import json
import math
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import RecipeError
from distexpand.recipe.lora_settings import LoraSettings, parse_lora_settings

PLAIN = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}


def parsed(**changes):
    return parse_lora_settings(PLAIN | changes, origin="adapter_config.json")


def test_what_is_left_out_is_as_peft_has_it():
    assert parsed() == LoraSettings(rank=8, alpha=16)
    nothing = dict.fromkeys(("rank_pattern", "use_dora", "layer_replication", "fan_in_fan_out", "revision"))
    assert parsed(**nothing) == parsed()
    assert parsed(rank_pattern={}, layer_replication=[]) == parsed()


def test_ranks_and_scales():
    settings = parsed(
        rank_pattern={"q_proj": 4, "layers.1.*": 2}, alpha_pattern={"^model.x$": 3, "k_proj": 5}
    )
    assert [settings.rank_of(name) for name in ("a.q_proj", "a.my_q_proj", "layers.1.q_proj")] == [4, 8, 4]
    assert settings.rank_of("model.layers.1.mlp.up_proj") == 2
    assert settings.scaling_of("a.q_proj") == 16 / 4
    assert settings.scaling_of("a.k_proj") == 5 / 8
    assert settings.scaling_of("model.x") == 3 / 8
    assert parsed(use_rslora=True, r=7).scaling_of("x") == 16 / math.sqrt(7)


def test_layers():
    assert parsed().base_layers() is None
    assert parsed(layer_replication=[[0, 2], [1, 3]]).base_layers() == (0, 1, 1, 2)


@pytest.mark.parametrize("initial", [True, False, None, "gaussian", "eva", "orthogonal", "mica"])
def test_ways_to_begin_that_leave_the_model_alone(initial):
    assert parsed(init_lora_weights=initial) == parsed()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "ADALORA"}, "peft_type: found 'ADALORA'; only LORA adapters can be merged"),
        ({"peft_type": None}, "peft_type: found nothing; only LORA"),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights: found 'pissa_niter_16', which changes"),
        *(
            ({"init_lora_weights": name}, f"init_lora_weights: found '{name}', which changes the model's")
            for name in ("pissa", "olora", "corda", "lora_ga", "loftq")
        ),
        ({"target_parameters": ["mlp.experts"]}, "target_parameters: `target_parameters` is not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices: `trainable_token_indices` is not"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"kasa_config": {"beta": 1}}, "kasa_config: `kasa_config` is not supported: it truncates"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora"),
        ({"use_qalora": True}, "use_qalora"),
        ({"velora_config": {"scale": 1}}, "velora_config"),
        ({"use_something_new": True}, "use_something_new: unknown key with the value True"),
        ({"r": 0}, "r: found 0; expected a whole number of at least 1"),
        ({"r": "8"}, "r: found '8'; expected"),
        ({"r": None}, "r: found nothing; expected"),
        ({"lora_alpha": "x"}, "lora_alpha: found 'x'; expected a number"),
        ({"lora_alpha": None}, "lora_alpha: found nothing; expected a number"),
        ({"rank_pattern": [1]}, "rank_pattern: found [1]; expected a mapping"),
        ({"rank_pattern": {"q": 1.5}}, "rank_pattern.q: found 1.5"),
        ({"rank_pattern": {"(": 1}}, "rank_pattern.(: not a regular expression"),
        ({"alpha_pattern": {"q": None}}, "alpha_pattern.q: found nothing"),
        ({"use_rslora": 1}, "use_rslora: found 1; expected true or false"),
        ({"layer_replication": 3}, "layer_replication: found 3; expected a list"),
        ({"layer_replication": [[2, 2]]}, "layer_replication: found [2, 2]; expected ranges"),
        ({"layer_replication": [[0, 10**8]]}, "layer_replication: it gives more than 10,000 layers"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(RecipeError) as caught:
        parsed(**changes)
    assert caught.value.message.startswith("adapter_config.json: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("initial", "convertible"), [("pissa_niter_4", True), ("lora_ga", True), ("loftq", False)]
)
def test_what_peft_can_convert_is_told(initial, convertible):
    with pytest.raises(RecipeError) as caught:
        parsed(init_lora_weights=initial)
    assert ("path_initial_model_for_weight_conversion" in caught.value.hint) == convertible


def test_what_is_unset_is_not_refused():
    unset = {"target_parameters": None, "use_bdlora": None, "use_qalora": False, "something_new": None}
    assert parsed(**unset) == parsed()


parts = st.sampled_from(["model", "layers", "0", "1", "12", "self_attn", "q_proj", "my_q_proj"])
patterns = st.sampled_from(
    [
        "q_proj",
        "^model.layers",
        "layers.1.self_attn.q_proj",
        r".*\.1\..*",
        "model",
        "layers.[01].*",
        ".*",
        "q",
        "x|1",
    ]
)


@pytest.mark.skipif(not find_spec("peft"), reason="needs pip install 'distexpand[dev]'")
@given(st.lists(parts, min_size=1, max_size=6).map(".".join), st.dictionaries(patterns, st.integers(1, 9)))
def test_patterns_are_matched_as_peft_does(name, pattern):
    from peft.utils.other import get_pattern_key  # noqa: PLC0415

    rank = pattern.get(get_pattern_key(pattern.keys(), name), 8)
    assert parsed(rank_pattern=pattern).rank_of(name) == rank


@pytest.mark.skipif(not find_spec("peft"), reason="needs pip install 'distexpand[dev]'")
def test_every_key_that_peft_writes_is_known(tmp_path):
    """A plain adapter's config has all keys of PEFT's class; one that is new there is met here first."""
    from peft import LoraConfig  # noqa: PLC0415

    LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj"], lora_dropout=0.1).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert parse_lora_settings(written, origin="a") == LoraSettings(rank=3, alpha=5)
