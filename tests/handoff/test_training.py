"""New layers of real models: by name, trained alone, and dropped again."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

import distexpand  # noqa: E402
from distexpand.errors import UsageError  # noqa: E402
from distexpand.training import new_parameters  # noqa: E402
from tests.cli.calls import Cli  # noqa: E402
from tests.running.real_models import TOKENS, answers, expanded, loaded, saved  # noqa: E402

STACK = "{model: a, layer_map: [[0, 4], [2, 6]]}"
BLOCKS = "{model: a, block_expansion: {blocks: 3, where: interleaved}}"
PAIRS = """
slices:
- sources: [{model: a, layer_range: [0, 6]}]
- sources: [{model: a, layer_range: [0, 6]}]
merge_method: passthrough
"""
_NUMBER = re.compile(r"\d+")
CASES = [
    ("llama", BLOCKS, {2, 5, 8}),
    ("llama", STACK, {4, 5}),
    ("gpt2", BLOCKS, {2, 5, 8}),
    ("mixtral", BLOCKS, {2, 5, 8}),
    ("gemma3_text", PAIRS, {6, 7, 8, 9, 10, 11}),
    ("falcon_h1", PAIRS, {6, 7, 8, 9, 10, 11}),
]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def _trained(model: Any) -> None:
    """Change every parameter that is to be trained, as training does."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.ones_like(parameter))


@pytest.mark.parametrize(("model_type", "recipe", "layers"), CASES)
def test_only_new_layers_are_trained_and_dropping_them_recovers_every_bit(
    tmp_path: Path, model_type: str, recipe: str, layers: set[int]
) -> None:
    source = saved(tmp_path / "a", model_type)
    output = expanded(recipe, source, tmp_path / "out")
    model, original = loaded(output), answers(loaded(source))
    frozen = distexpand.freeze_original(model, output)
    assert set(frozen.layers) == layers
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {int(_NUMBER.search(name)[0]) for name in trainable} == layers
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert frozen.trainable_parameters == sum(sizes[name] for name in trainable)
    assert frozen.trainable_parameters + frozen.frozen_parameters == sum(sizes.values())
    _trained(model)
    assert not torch.equal(answers(model), original)
    dropped = distexpand.drop_new_layers(model, output)
    assert type(dropped) is type(model)
    assert torch.equal(answers(dropped), original)
    assert dropped.config.num_hidden_layers == 6


def test_a_layer_that_others_share_stays_frozen(tmp_path: Path) -> None:
    """Zamba's attention block is stored once; copies of the layer that has it use it, too."""
    output = expanded(PAIRS, saved(tmp_path / "a", "zamba2"), tmp_path / "out")
    new = new_parameters(output)
    stored = [name for name in new.others if "shared_transformer" in name]
    assert stored
    assert not any("shared_transformer" in name for name in new.names)


def test_the_dropped_model_has_the_parameters_of_the_trained_one(tmp_path: Path) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    model = loaded(output).train().to(torch.float32)
    dropped = distexpand.drop_new_layers(model, output)
    assert dropped.training
    assert dropped.dtype is torch.float32
    assert dropped.model.layers[3].mlp.up_proj.weight is model.model.layers[4].mlp.up_proj.weight
    assert dropped.model.embed_tokens.weight is model.model.embed_tokens.weight
    assert [layer.self_attn.layer_idx for layer in dropped.model.layers] == list(range(6))
    assert len(model.model.layers) == 9
    with torch.inference_mode():
        assert len(dropped(TOKENS, use_cache=True).past_key_values.layers) == 6


def test_a_trained_model_that_was_saved_is_undone_by_the_recipe(tmp_path: Path, cli: Cli) -> None:
    source = saved(tmp_path / "a", "mixtral")
    output = expanded(BLOCKS, source, tmp_path / "out")
    model = loaded(output)
    distexpand.freeze_original(model, output)
    _trained(model)
    model.save_pretrained(tmp_path / "trained")
    undo = tmp_path / "undo.yml"
    undo.write_text(cli("init", "--undo", output).out)
    assert cli("run", undo, tmp_path / "back", "--model", f"out={tmp_path / 'trained'}").code == 0
    assert torch.equal(answers(loaded(tmp_path / "back")), answers(loaded(source)))


def test_another_model_is_refused(tmp_path: Path) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    other = loaded(saved(tmp_path / "b", "gpt2"))
    with pytest.raises(UsageError, match=r"isn't the one of .*: it has no parameter 'model.layers.0"):
        distexpand.freeze_original(other, output)
    with pytest.raises(UsageError, match=r"isn't the one of .*: no parameter 'model.embed_tokens.weight'"):
        distexpand.drop_new_layers(other, output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 6}, "it has no parameter 'model.layers.6."),
        ({"num_hidden_layers": 12}, "it has a parameter 'model.layers.9."),
        ({"intermediate_size": 64}, "mlp.gate_proj.weight' has shape"),
    ],
)
def test_a_model_of_the_same_class_but_not_of_the_output_is_refused_unfrozen(
    tmp_path: Path, change: dict[str, int], message: str
) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    config = AutoConfig.from_pretrained(output)
    other = AutoModelForCausalLM.from_config(
        type(config)(**{**config.to_dict(), "layer_types": None, **change})
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        distexpand.freeze_original(other, output)
    assert all(parameter.requires_grad for parameter in other.parameters())


def test_a_model_with_more_tokens_than_the_output_is_frozen_as_it_is(tmp_path: Path) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    model = loaded(output)
    model.resize_token_embeddings(model.config.vocab_size + 8)
    assert distexpand.freeze_original(model, output).layers == (2, 5, 8)


def test_an_output_without_new_layers_has_nothing_to_train(tmp_path: Path, cli: Cli) -> None:
    output = expanded("{model: a, layer_map: [[0, 4]]}", saved(tmp_path / "a", "llama"), tmp_path / "out")
    done = cli("trainable", output)
    assert done.code == 2
    assert "has no new layers" in done.err


def test_the_command_says_it_in_every_form(tmp_path: Path, cli: Cli) -> None:
    output = expanded(BLOCKS, saved(tmp_path / "a", "llama"), tmp_path / "out")
    names = cli("trainable", output).out.splitlines()
    assert len(names) == 27
    assert all(name.startswith(("model.layers.2.", "model.layers.5.", "model.layers.8.")) for name in names)
    found = cli("trainable", output, "--format", "json").document
    assert found["trainable"] == names
    assert found["layers"] == [2, 5, 8]
    model = loaded(output)
    distexpand.freeze_original(model, output)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert found["trainable_parameters"] == trained
    assert cli("trainable", output, "--format", "regex").out == "^(?:model\\.layers\\.)(?:2|5|8)\\.\n"
    assert "use_llama_pro: true" in cli("trainable", output, "--format", "llama-factory").out
    assert "- ^model.layers.(2|5|8)." in cli("trainable", output, "--format", "axolotl").out
    lora = json.loads(cli("trainable", output, "--format", "peft").out)["lora"]
    assert lora["layers_to_transform"] == [2, 5, 8]
