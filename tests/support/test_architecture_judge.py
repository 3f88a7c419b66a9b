"""The judge of the matrix: it finds what would spoil an expansion without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file, save_file

from tests.support.architecture_judge import WrongError, judge
from tests.support.architectures import write_tiny

MAP = (0, 1, 2, 3, 2, 3, 4, 5)
KINDS = ("sliding_attention", "sliding_attention", "full_attention")


def _pair(directory: Path, **changes: Any) -> tuple[Path, Path]:
    """Write a source and an expansion of it that is right, made by renaming tensors alone."""
    kinds = [KINDS[index % 3] for index in range(6)]
    source = write_tiny(directory / "a", "gemma3_text", layer_types=kinds, **changes)
    tensors = load_file(source / "model.safetensors")
    output = directory / "out"
    output.mkdir()
    made = {name: tensor for name, tensor in tensors.items() if ".layers." not in name}
    for index, origin in enumerate(MAP):
        at = f"model.layers.{origin}."
        made |= {
            f"model.layers.{index}.{n[len(at) :]}": t.clone() for n, t in tensors.items() if n.startswith(at)
        }
    save_file(made, output / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config |= {"num_hidden_layers": len(MAP), "layer_types": [kinds[origin] for origin in MAP]}
    (output / "config.json").write_text(json.dumps(config))
    return source, output


def _change_config(output: Path, **changes: Any) -> None:
    path = output / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _judge(pair: tuple[Path, Path], new: tuple[int, ...] = ()) -> None:
    judge(*pair, MAP, num_layers=6, new=new)


def test_what_is_right_passes(tmp_path: Path) -> None:
    _judge(_pair(tmp_path))


def test_a_layer_of_another_kind_is_found_by_what_it_answers(tmp_path: Path) -> None:
    pair = _pair(tmp_path)
    _change_config(pair[1], layer_types=[KINDS[index % 3] for index in range(len(MAP))])
    with pytest.raises(WrongError, match="layer 4 answers otherwise than its source layer 2"):
        _judge(pair)


def test_a_tensor_in_the_wrong_layer_is_found(tmp_path: Path) -> None:
    source, output = _pair(tmp_path)
    tensors = load_file(output / "model.safetensors")
    ours, theirs = (f"model.layers.{index}.input_layernorm.weight" for index in (1, 2))
    tensors[ours], tensors[theirs] = tensors[theirs].clone(), tensors[ours].clone()
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WrongError, match=r"layers\.1\.input_layernorm\.weight isn't"):
        _judge((source, output))


def test_a_block_that_is_no_identity_is_found(tmp_path: Path) -> None:
    with pytest.raises(WrongError, match="an identity that isn't one"):
        _judge(_pair(tmp_path), new=(4,))


def test_a_lost_tensor_is_found(tmp_path: Path) -> None:
    source, output = _pair(tmp_path)
    tensors = load_file(output / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WrongError, match=r"missing_keys: model\.norm\.weight"):
        _judge((source, output))
