"""A model that is run may lie anywhere, as one that is expanded may."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

import distexpand  # noqa: E402
from distexpand.models import compare_with_source, evaluate  # noqa: E402
from distexpand.running.evaluation import EvalOptions  # noqa: E402
from tests.api.small import tree  # noqa: E402
from tests.running.real_models import answers, expanded, loaded, saved  # noqa: E402

BLOCKS = "{model: a, block_expansion: {blocks: 3, where: interleaved}}"
WORDS = " ".join(["a", "b", "c", "b", "a", "c", "c", "b"] * 8)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a tiny Llama lies, of which `tmp_path / "a"` has a copy."""
    files = tree(saved(tmp_path / "a", "llama"))
    if request.param == "archive":
        command = [sys.executable, "-m", "distexpand", "pack", str(tmp_path / "a"), str(tmp_path / "packed")]
        subprocess.run(command, check=True, capture_output=True)
        return str(tmp_path / "packed")
    return request.getfixturevalue("places")(request.param).put("a", files)


@pytest.mark.parametrize("place", ["hf", "s3", "archive"], indirect=True)
def test_a_model_elsewhere_says_what_its_copy_here_says(tmp_path: Path, place: str) -> None:
    here, options = tmp_path / "a", EvalOptions(window=16)
    assert evaluate(place, WORDS, options).loss == evaluate(str(here), WORDS, options).loss
    virtual = distexpand.load_virtual(BLOCKS, models={"a": place})
    assert torch.equal(answers(virtual), answers(loaded(here)))
    output = expanded(BLOCKS, Path(place) if Path(place).exists() else here, tmp_path / "out")
    comparison = compare_with_source(output, places={"a": place})
    assert comparison.equal
    assert comparison.has_to_be_equal
