"""The same on a real model: forty layers of SmolLM2-135M's thirty, each with a delta of its own."""

from pathlib import Path

import pytest

pytest.importorskip("peft", reason="needs pip install 'distexpand[dev]'")
pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from distexpand.formats.dtypes import DType  # noqa: E402
from tests.handoff.test_baking import CLOSE, LINEAR, assert_same, bake, tensors_of  # noqa: E402
from tests.support.adapters import logits_of, merged_tensors, train_adapter  # noqa: E402

# A text that means something: on noise the model's own float32 logits are 2e-3 from its float64 ones.
TEXT = "The capital of France is Paris, and the capital of Italy is Rome. A model is trained on text."


@pytest.mark.slow
@pytest.mark.parametrize("rslora", [False, True], ids=["LoRA", "rsLoRA"])
def test_a_baked_smollm2_is_pefts_with_the_adapter(rslora: bool, smollm2: Path, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2)
    prompt = tokenizer(TEXT, return_tensors="pt").input_ids
    wanted = train_adapter(
        smollm2,
        tmp_path / "adapter",
        prompt=prompt,
        r=8,
        lora_alpha=16,
        use_rslora=rslora,
        target_modules=LINEAR,
        layer_replication=[[0, 20], [10, 30]],
        init_lora_weights=True,
    )
    out = bake(tmp_path / "adapter", smollm2, tmp_path / "out", out_dtype="float32")
    assert_same(tensors_of(out), merged_tensors(smollm2, tmp_path / "adapter", DType.F32))
    assert (logits_of(out, prompt=prompt) - wanted).abs().max() < CLOSE
