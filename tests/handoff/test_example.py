"""The worked example of docs/training.md, in a small form."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "train_new_blocks.py"


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_new_blocks", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_new_blocks_learn_a_text_and_without_them_the_model_is_the_original(
    smollm2: Path, tmp_path: Path
) -> None:
    example = _example()
    output = example.expand(smollm2, tmp_path / "out", blocks=2)
    text = example.TEXT.read_text()[:350]
    lesson = example.teach(smollm2, output, text, steps=5, window=64, rate=1e-3)
    assert lesson.frozen.layers == (15, 31)
    assert lesson.frozen.frozen_parameters == 134_515_008
    assert lesson.losses[-1] < lesson.losses[0] - 0.2
    assert lesson.recovered
    assert lesson.dropped == lesson.before
