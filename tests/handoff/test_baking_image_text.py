"""Adapters of image-text models, whose checkpoints name their tensors otherwise than the loaded model."""

from pathlib import Path
from typing import Any

import pytest

peft = pytest.importorskip("peft", reason="needs pip install 'distexpand[dev]'")
torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.api import plan_expansion, run_plan, verify_output  # noqa: E402
from distexpand.handoff.bake import baking  # noqa: E402
from tests.support.adapters import PROMPT, quiet  # noqa: E402
from tests.support.architectures import model_class, write_tiny  # noqa: E402

LANGUAGE = r".*language_model.*(q_proj|down_proj)"
CLOSE = 1e-4


def with_adapter(base: Path, kind: str, adapter: Path, target: str) -> tuple[torch.Tensor, dict[str, Any]]:
    """Save an adapter of random matrices; return PEFT's logits with it, and PEFT's merged tensors."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules=target, init_lora_weights=False)
    with quiet(), torch.no_grad():
        model = model_class("image-text", kind).from_pretrained(base, dtype=torch.float32)
        adapted = peft.get_peft_model(model, config).eval()
        adapted.save_pretrained(adapter)
        logits = adapted(input_ids=PROMPT).logits
        return logits, adapted.merge_and_unload().state_dict()


@pytest.mark.parametrize("target", [LANGUAGE, "all-linear"])
@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "gemma3"])
def test_a_baked_model_is_pefts_with_the_adapter(kind: str, target: str, tmp_path: Path) -> None:
    base, adapter, out = tmp_path / "base", tmp_path / "adapter", tmp_path / "out"
    write_tiny(base, kind, num_layers=2, auto="image-text")
    wanted, merged = with_adapter(base, kind, adapter, target)
    made = baking(str(adapter), {"": str(base)})
    run_plan(plan_expansion(made.recipe, origin=made.origin, places=made.places).plan, out)
    assert verify_output(out, sources=True, places={"base": str(base), "adapter": str(adapter)}).ok
    with torch.no_grad():
        model = model_class("image-text", kind).from_pretrained(out, dtype=torch.float32).eval()
        logits = model(input_ids=PROMPT).logits
    assert (logits - wanted).abs().max() < CLOSE
    found = model.state_dict()
    assert found.keys() == merged.keys()
    for name, tensor in merged.items():
        assert torch.allclose(found[name], tensor, atol=CLOSE), name
