"""An adapter and its base from elsewhere: merged by ranges, the same as from this disk."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs pip install 'distexpand[torch]'")
pytest.importorskip("safetensors", reason="needs pip install 'distexpand[load]'")

from distexpand.api import plan_expansion, run_plan, verify_output
from distexpand.handoff.bake import baking
from tests.api.small import small_model, tree
from tests.support.adapter_files import write_adapter


def baked(adapter: str, base: str, out: Path) -> dict[str, bytes]:
    """Bake, check against the sources, and return the weights."""
    made = baking(adapter, {"": base})
    run_plan(plan_expansion(made.recipe, origin=made.origin, places=made.places, shard_size=5000).plan, out)
    return {name: raw for name, raw in tree(out).items() if name.endswith(".safetensors")}


@pytest.mark.parametrize("kind", ["hf", "web"])
@pytest.mark.parametrize("dora", [False, True], ids=["LoRA", "DoRA"])
def test_a_bake_of_what_lies_elsewhere(
    kind: str, dora: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = small_model(tmp_path / "base")
    ranges = [[0, 3], [1, 4]]
    modules = ("self_attn.q_proj", "mlp.down_proj")
    adapter = write_adapter(tmp_path / "lora", base, modules, layer_replication=ranges, use_dora=dora)
    there = request.getfixturevalue("web") if kind == "web" else request.getfixturevalue("places")(kind)
    places = {path.name: there.put(path.name, tree(path)) for path in (base, adapter)}
    found = baked(places["lora"], places["base"], tmp_path / "out")
    assert found == baked(str(adapter), str(base), tmp_path / "here")
    named = {} if kind == "hf" else places  # the Hub's are in the manifest, at their commits
    assert verify_output(tmp_path / "out", sources=True, places=named).ok
