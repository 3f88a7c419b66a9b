"""The generated families are what transformers' own classes have."""

import json
import math

import pytest

from tests.support.shapes import FAMILIES, family


@pytest.mark.parametrize("name", FAMILIES)
def test_names_order_and_shapes_are_those_of_the_transformers_class(name: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'distexpand[load]'")
    transformers = pytest.importorskip(
        "transformers", reason="needs transformers: pip install 'distexpand[load]'"
    )
    shape = family(name)
    config = transformers.AutoConfig.for_model(**shape.config)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if shape.config["tie_word_embeddings"]:
        del state["lm_head.weight"]
    assert list(state.items()) == list(shape.tensors)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama2-7b", 6.74),
        ("mistral-7b", 7.24),
        ("llama2-70b", 68.98),
        ("llama3-70b", 70.55),
        ("llama3.1-405b", 405.85),
        ("phi-4", 14.66),
        ("tinyllama-1.1b", 1.10),
        ("smollm2-135m", 0.13),
    ],
)
def test_parameters_are_as_published(name: str, billions: float) -> None:
    shape = family(name)
    assert shape.parameters == sum(math.prod(dimensions) for _, dimensions in shape.tensors)
    assert round(shape.parameters / 1e9, 2) == billions


def test_layers_and_config_values_can_be_changed() -> None:
    shape = family("llama2-7b", num_layers=3, dtype="BF16", tie_word_embeddings=True)
    assert shape.num_layers == 3
    assert shape.config["torch_dtype"] == "bfloat16"
    assert "lm_head.weight" not in dict(shape.tensors)
    assert len(shape.tensors) == 2 + 3 * 9
    json.dumps(shape.config)
