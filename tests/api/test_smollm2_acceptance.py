"""Acceptance on a real model: every recipe's output loads whole, and identity expansions answer as before."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors import safe_open  # noqa: E402

from distexpand.api import plan_expansion, run_plan, verify_output  # noqa: E402

TEXT = "The capital of France is Paris, and the capital of Italy is"

# The OpenChat seed's recipe in mergekit's form: identity blocks by zero scales, after the last layer.
_ZEROED = """  - sources:
      - model: smollm2
        layer_range: [29, 30]
        parameters:
          scale:
            - filter: o_proj
              value: 0.0
            - filter: down_proj
              value: 0.0
            - value: 1.0
"""
OPENCHAT = (
    "slices:\n  - sources:\n      - model: smollm2\n        layer_range: [0, 30]\n"
    + _ZEROED * 8
    + "merge_method: passthrough\ndtype: bfloat16\n"
)
LLAMA_PRO = "model: smollm2\nblock_expansion: {blocks: 6, where: interleaved}\n"
LAYER_MAP = '{"model": "smollm2", "layer_map": [[0, 20], [10, 30]]}'
TWO_SOURCES = """
slices:
  - sources: [{model: smollm2, layer_range: [0, 20]}]
  - sources: [{model: other, layer_range: [10, 30]}]
merge_method: passthrough
"""
SCALED = """
slices:
  - sources: [{model: smollm2, layer_range: [0, 20]}]
  - sources:
      - model: smollm2
        layer_range: [10, 30]
        parameters:
          scale:
            - {filter: q_proj, value: 0.7071067811865476}
            - {filter: k_proj, value: 0.7071067811865476}
            - {filter: down_proj, value: [0.5, 1.0]}
            - {value: 1.0}
merge_method: passthrough
"""

Expand = Callable[[str], Path]


@pytest.fixture
def expand(smollm2: Path, tmp_path: Path) -> Iterator[Expand]:
    """Run a recipe on the real model (as two models by name) and verify it against its sources."""
    output = tmp_path / "out"

    def expanded(recipe: str) -> Path:
        places = {name: str(smollm2) for name in ("smollm2", "other") if name in recipe}
        planned = plan_expansion(recipe, origin="recipe.yml", places=places, shard_size=200_000_000)
        run_plan(planned.plan, output, threads=2)
        report = verify_output(output, sources=True, places=places, threads=2)
        assert report.ok, report.differences[:3]
        return output

    yield expanded
    shutil.rmtree(output, ignore_errors=True)


def load_whole(directory: Path) -> Any:
    """Load a model in float32 and check that every key found its place."""
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[problem], (problem, loading[problem])
    return model.eval()


def logits(directory: Path) -> Any:
    """Return the logits of a text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    with torch.inference_mode():
        return load_whole(directory)(**tokenizer(TEXT, return_tensors="pt")).logits


@pytest.fixture(scope="module")
def original(smollm2: Path) -> Any:
    return logits(smollm2)


@pytest.mark.parametrize(
    ("recipe", "layers"), [(OPENCHAT, 38), (LLAMA_PRO, 36)], ids=["openchat-seed", "llama-pro"]
)
def test_identity_expansions_answer_exactly_as_before(
    expand: Expand, original: Any, recipe: str, layers: int
) -> None:
    output = expand(recipe)
    assert transformers.AutoConfig.from_pretrained(output).num_hidden_layers == layers
    assert torch.equal(logits(output), original)


@pytest.mark.parametrize(
    "recipe", [LAYER_MAP, TWO_SOURCES, SCALED], ids=["layer-map", "two-sources", "scaled"]
)
def test_stacked_expansions_load_whole(expand: Expand, original: Any, recipe: str) -> None:
    output = expand(recipe)
    assert transformers.AutoConfig.from_pretrained(output).num_hidden_layers == 40
    found = logits(output)
    assert torch.isfinite(found).all()
    assert not torch.equal(found, original)


def test_scaled_tensors_equal_the_direct_expression(expand: Expand, smollm2: Path) -> None:
    output = expand(SCALED)
    before, after = _tensors(smollm2), _tensors(output)
    for index in (20, 25, 39):
        layer = index - 10
        for name, factor in (
            ("self_attn.q_proj", 0.7071067811865476),
            ("mlp.down_proj", 0.5 + 0.5 * (layer - 10) / 19),
            ("mlp.up_proj", 1.0),
        ):
            source = before[f"model.layers.{layer}.{name}.weight"]
            assert torch.equal(after[f"model.layers.{index}.{name}.weight"], source * factor)
    assert "lm_head.weight" not in after


def _tensors(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in directory.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("shard_size", [50_000_000, 5_000_000_000])
def test_any_threads_and_shard_size(smollm2: Path, tmp_path: Path, threads: int, shard_size: int) -> None:
    """Every run against one with other threads: the same files for the same shard size."""
    places = {"smollm2": str(smollm2)}
    plan = plan_expansion(SCALED, origin="r", places=places, shard_size=shard_size).plan
    run_plan(plan, tmp_path / "one", threads=threads)
    run_plan(plan, tmp_path / "two", threads=3)
    made = [{path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("one", "two")]
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name)
    assert made[0] == made[1]
