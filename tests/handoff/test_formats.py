"""Each trainer's own terms select the new parameters and no other; where there are none, that is said."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distexpand.errors import UsageError
from distexpand.handoff.llama_factory import FreezeSettings, llama_factory
from distexpand.handoff.new_parameters import NewParameters
from distexpand.handoff.patterns import as_axolotl_reads, axolotl, regex
from distexpand.handoff.peft_settings import peft

STEMS = ("model.layers.", "transformer.h.", "gpt_neox.layers.")
PARTS = ("self_attn.q_proj", "mlp.down_proj", "mlp.experts.1.w1", "mlp.experts.12.w1")


def _new(stem: str, num_layers: int, layers: set[int], *, tower: bool = False) -> NewParameters:
    """Return the parameters of a model; with a tower beside it whose layers are called the same."""

    def names(which: set[int]) -> tuple[str, ...]:
        return tuple(f"{stem}{layer}.{part}" for layer in sorted(which) for part in PARTS)

    others = names(set(range(num_layers)) - layers)
    if tower:
        others += tuple(f"model.vision_tower.layers.{layer}.{PARTS[0]}" for layer in range(num_layers))
    weights = [tuple(f"{name}.weight" for name in part) for part in (names(layers), others)]
    return NewParameters(
        layers=tuple(sorted(layers)),
        num_layers=num_layers,
        names=weights[0],
        others=("model.embed_tokens.weight", *weights[1], "lm_head.weight"),
        linear=names(layers),
        other_linear=(*others, "lm_head"),
        elements=1,
        other_elements=1,
    )


@st.composite
def models(draw: st.DrawFn) -> NewParameters:
    """Return any set of new layers, of any model."""
    num_layers = draw(st.integers(1, 40))
    layers = draw(st.sets(st.integers(0, num_layers - 1), min_size=1))
    return _new(draw(st.sampled_from(STEMS)), num_layers, layers, tower=draw(st.booleans()))


@given(new=models())
def test_the_expression_finds_new_parameters_only(new: NewParameters) -> None:
    found = re.compile(regex(new))
    assert all(map(found.match, new.names))
    assert not any(map(found.match, new.others))


@given(new=models())
def test_axolotl_finds_new_parameters_only(new: NewParameters) -> None:
    found = [
        re.compile(as_axolotl_reads(text)) for text in yaml.safe_load(axolotl(new))["unfrozen_parameters"]
    ]
    assert all(any(pattern.match(name) for pattern in found) for name in new.names)
    assert not any(pattern.match(name) for pattern in found for name in new.others)


@given(new=models())
def test_llama_factory_selects_new_parameters_only_or_has_no_words(
    new: NewParameters,
) -> None:
    try:
        settings = yaml.safe_load(llama_factory(new))
    except UsageError as error:
        assert "LLaMA-Factory has no words for the new layers" in error.message  # noqa: PT017
        return
    count, pro = settings["freeze_trainable_layers"], settings["use_llama_pro"]
    layers = FreezeSettings(freeze_trainable_layers=count, use_llama_pro=pro).layers(new.num_layers)
    assert set(layers) == set(new.layers)
    marks = [f".{layer}." for layer in layers]
    assert not any(mark in name for mark in marks for name in new.others)


@pytest.mark.parametrize(
    ("num_layers", "layers", "expected"),
    [
        (36, {5, 11, 17, 23, 29, 35}, (6, True)),
        (38, {36, 37}, (2, False)),
        (8, {0, 1}, (-2, False)),
        (36, {6, 12}, None),
    ],
)
def test_llama_factorys_three_ways(
    num_layers: int, layers: set[int], expected: tuple[int, bool] | None
) -> None:
    new = _new("model.layers.", num_layers, layers)
    names = tuple(name for name in new.names if "experts" not in name)
    others = tuple(name for name in new.others if "experts" not in name)
    plain = replace(new, names=names, others=others)
    if expected is None:
        with pytest.raises(UsageError):
            llama_factory(plain)
        return
    settings = yaml.safe_load(llama_factory(plain))
    assert (settings["freeze_trainable_layers"], settings["use_llama_pro"]) == expected
    assert settings["finetuning_type"] == "freeze"


def test_experts_whose_numbers_are_those_of_new_layers_are_beyond_llama_factory() -> None:
    with pytest.raises(UsageError, match="no words for the new layers 1 of 2"):
        llama_factory(_new("model.layers.", 2, {1}))


@given(new=models())
def test_peft_puts_adapters_on_new_matrices_only(new: NewParameters) -> None:
    settings = json.loads(peft(new))
    selected = [name for name in (*new.linear, *new.other_linear) if _peft_selects(settings["lora"], name)]
    assert selected == list(new.linear)
    assert settings["whole"]["modules_to_save"] == [f"{new.stems[0]}{layer}" for layer in new.layers]


def _peft_selects(lora: dict[str, list[str]], name: str) -> bool:
    """As `peft.tuners.tuners_utils.check_target_module_exists` does."""
    if name in lora["target_modules"]:
        return True
    found = any(name.endswith(f".{end}") for end in lora["target_modules"])
    if not found or "layers_to_transform" not in lora:
        return found
    places = (re.match(rf".*\.{pattern}\.(\d+)\.", name) for pattern in lora["layers_pattern"])
    place = next((place for place in places if place), None)
    return place is not None and int(place[1]) in lora["layers_to_transform"]
