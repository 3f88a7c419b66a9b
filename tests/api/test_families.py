"""Families with per-layer config: expanded, the right layer keeps its kind, the model loads and answers."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.api import run_plan, verify_output  # noqa: E402
from tests.api.small import small_plan  # noqa: E402
from tests.support.tiny import KINDS, tiny_checkpoint  # noqa: E402

IDS = torch.tensor([[1, 5, 9, 77, 3, 12, 100, 42, 7, 8, 9, 10]])


def _load(directory: Path) -> Any:
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[problem], (problem, loading[problem])
    return model.eval()


def _logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(IDS).logits


@pytest.mark.parametrize("kind", KINDS)
def test_identity_expansion_of_every_family_answers_as_before(tmp_path: Path, kind: str) -> None:
    source = tiny_checkpoint(tmp_path / "a", kind, num_layers=4)
    output = tmp_path / "out"
    plan = small_plan("{model: a, block_expansion: {after: [0, 2, 3]}}", source, shard_size=60_000)
    run_plan(plan, output)
    assert verify_output(output, sources=True, places={"a": str(source)}).ok
    model = _load(output)
    assert torch.equal(_logits(model), _logits(_load(source)))
    model.save_pretrained(tmp_path / "again")
    assert torch.equal(_logits(_load(tmp_path / "again")), _logits(model))


@pytest.mark.parametrize("kind", ["gemma3", "gemma2"])
def test_layer_types_follow_their_layers(tmp_path: Path, kind: str) -> None:
    source = tiny_checkpoint(tmp_path / "a", kind, num_layers=5)
    before = json.loads((source / "config.json").read_text())["layer_types"]
    run_plan(small_plan("{model: a, layer_map: [[0, 3], [2, 5]]}", source), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 6
    assert config["layer_types"] == [before[layer] for layer in (0, 1, 2, 2, 3, 4)]
    assert _load(tmp_path / "out").config.layer_types == config["layer_types"]


def test_a_stack_equals_the_layers_run_by_hand(tmp_path: Path) -> None:
    """A duplicated layer is the same computation twice: transformers' own layer list says so."""
    source = tiny_checkpoint(tmp_path / "a", "llama", num_layers=4)
    run_plan(small_plan("{model: a, layer_map: [[0, 3], [1, 4]]}", source), tmp_path / "out")
    model = _load(source)
    layers = model.model.layers
    model.model.layers = torch.nn.ModuleList([layers[index] for index in (0, 1, 2, 1, 2, 3)])
    model.config.num_hidden_layers = 6
    with torch.inference_mode():
        expected = model(IDS, use_cache=False).logits
    assert torch.equal(_logits(_load(tmp_path / "out")), expected)
