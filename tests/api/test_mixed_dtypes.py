"""Weighted sums of models that are stored in different dtypes."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file, save_file  # noqa: E402

from distexpand.api import plan_expansion, run_plan  # noqa: E402
from tests.support.tiny import tiny_checkpoint  # noqa: E402

BIG = 1e5
"""More than float16 holds."""
WIDE = "model.layers.0.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    found = {
        name: tiny_checkpoint(root / name, "llama", dtype=dtype, seed=seed)
        for seed, (name, dtype) in enumerate({"a": torch.float16, "b": torch.bfloat16}.items())
    }
    tensors = load_file(found["b"] / "model.safetensors")
    tensors[WIDE][0, 0] = BIG
    save_file(tensors, found["b"] / "model.safetensors", metadata={"format": "pt"})
    return found


def merged(models: dict[str, Path], order: str, out: Path, out_dtype: str) -> dict[str, torch.Tensor]:
    listed = ", ".join(f"{{model: {name}, parameters: {{weight: 0.5}}}}" for name in order)
    text = f"models: [{listed}]\nmerge_method: linear\n{out_dtype}\n"
    places = {name: str(place) for name, place in models.items()}
    run_plan(plan_expansion(text, origin="recipe.yml", places=places).plan, out)
    (shard,) = out.glob("*.safetensors")
    return load_file(shard)


@pytest.mark.parametrize("out_dtype", ["", "out_dtype: float32"])
def test_a_sum_loses_nothing_that_its_terms_have_whatever_their_order(
    models: dict[str, Path], out_dtype: str, tmp_path: Path
) -> None:
    """Two terms: their float32 sum is the same to the last bit."""
    one, other = (merged(models, order, tmp_path / order, out_dtype) for order in ("ab", "ba"))
    terms = [load_file(place / "model.safetensors") for place in models.values()]
    assert one.keys() == other.keys() == terms[0].keys()
    for name, tensor in one.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, other[name])
        assert torch.equal(tensor, sum(term[name].float() * 0.5 for term in terms))
    assert one[WIDE][0, 0] > BIG / 3
