"""What `inspect` says of models, as text that fits a terminal and as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.calls import Cli

PLAIN = ("self_attn.o_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight")
MOE = (
    "self_attn.o_proj.weight",
    "mlp.experts.0.down_proj.weight",
    "mlp.experts.1.down_proj.weight",
    PLAIN[2],
)

TOWER = {
    "model_type": "llava",
    "tie_word_embeddings": True,
    "text_config": {
        "model_type": "llama",
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_nextn_predict_layers": 1,
        "first_k_dense_replace": 1,
    },
    "vision_config": {"num_hidden_layers": 3},
    "quantization_config": {"quant_method": "fp8"},
}


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A vision tower, and four layers of which the first has no experts, with one more behind them."""
    names = [
        f"language_model.model.layers.{index}.{suffix}"
        for index in range(4)
        for suffix in (PLAIN if index == 0 else MOE)
    ]
    names += [f"language_model.model.layers.4.{suffix}" for suffix in ("eh_proj.weight", *MOE)]
    names += [f"vision_tower.layers.{index}.fc1.weight" for index in range(3)]
    names += ["language_model.model.embed_tokens.weight", "language_model.model.norm.weight"]
    (tmp_path / "config.json").write_text(json.dumps(TOWER))
    save_file({name: np.ones((4, 4), np.float32) for name in names}, tmp_path / "model.safetensors")
    return tmp_path


def test_everything_that_matters_is_said(cli: Cli, tower: Path) -> None:
    told = cli("inspect", tower).out
    assert all(len(line) <= 80 for line in told.splitlines())
    said = " ".join(told.split())
    for words in (
        "layers 4, named language_model.model.layers.0 to language_model.model.layers.3",
        "count config.json: text_config.num_hidden_layers",
        "other stack vision_tower.layers, 3 layers",
        "sliding_attention: layer 0 (3 tensors, 48 each)",
        "full_attention: layers 1, 3 (4 tensors, 64 each)",
        "sliding_attention: layer 2 (4 tensors, 64 each)",
        "mlp.down_proj.weight, self_attn.o_proj.weight",
        "mlp.experts.*.down_proj.weight, self_attn.o_proj.weight",
        "text_config.num_hidden_layers = 4 -> the new number of layers",
        "'sliding_attention', 'full_attention'] -> entries follow their layers",
        "first_k_dense_replace = 1 -> feed-forward part: set anew, so that every layer keeps its own",
        "language_model.model.layers.4 lies beyond the count (multi-token prediction)",
        "the output head is the embeddings (tie_word_embeddings)",
        "the weights are quantised (fp8)",
        "vision_tower.layers.*.fc1.weight",
    ):
        assert words in said, words


def test_another_stack_can_be_looked_at(cli: Cli, tower: Path) -> None:
    told = cli("inspect", tower, "--stack", "vision_tower", "--json").document
    assert told["stack"]["prefix"] == "vision_tower.layers."
    assert [stack["prefix"] for stack in told["stacks"]] == [
        "language_model.model.layers.",
        "vision_tower.layers.",
    ]
    assert cli("inspect", tower, "--stack", "audio").code != 0


def test_json_has_the_same_in_full(cli: Cli, tower: Path) -> None:
    told = cli("inspect", tower, "--json").document
    assert (told["stack"]["num_layers"], told["stack"]["beyond"]) == (4, 1)
    assert [kind["layers"] for kind in told["kinds"]] == [[0], [1, 3], [2]]
    assert told["kinds"][1]["outputs"] == [
        "mlp.experts.0.down_proj.weight",
        "mlp.experts.1.down_proj.weight",
        "self_attn.o_proj.weight",
    ]
    assert told["per_layer_keys"] == ["layer_types"]
    assert {"key", "value", "becomes"} == set(told["attributes"][0])
    assert len(told["notes"]) == 3


def test_an_impossible_identity_block_is_explained(cli: Cli, tmp_path: Path) -> None:
    config = {"model_type": "odd", "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = [f"layers.{index}.strange.thing" for index in range(2)]
    save_file({name: np.ones(4, np.float32) for name in names}, tmp_path / "model.safetensors")
    said = " ".join(cli("inspect", tmp_path).out.split())
    assert "all alike: layers 0-1 (1 tensor, 4 each)" in said
    assert "identity not possible: " in said
