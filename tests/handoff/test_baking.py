"""Baked models are what PEFT computes: logits as with its adapter, tensors as their definition says."""

from pathlib import Path
from typing import Any

import pytest

peft = pytest.importorskip("peft", reason="needs pip install 'distexpand[dev]'")
torch = pytest.importorskip("torch", reason="needs pip install 'distexpand[load]'")
transformers = pytest.importorskip("transformers", reason="needs pip install 'distexpand[load]'")

from safetensors.torch import load_file  # noqa: E402

from distexpand.api import check_load, plan_expansion, run_plan, verify_output  # noqa: E402
from distexpand.errors import RecipeError  # noqa: E402
from distexpand.formats.dtypes import DType  # noqa: E402
from distexpand.handoff.bake import baking  # noqa: E402
from distexpand.planning.model import Plan  # noqa: E402
from tests.engine.matrices import torch_name  # noqa: E402
from tests.support.adapters import PROMPT, logits_of, merged_tensors, quiet, train, train_adapter  # noqa: E402
from tests.support.tiny import tiny_checkpoint  # noqa: E402

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TWICE = {"layer_replication": [[0, 3], [1, 4]]}
CLOSE = 1e-4


def planned_bake(adapter: Path, base: Path, **options: Any) -> Plan:
    made = baking(str(adapter), {"": str(base)}, **options)
    return plan_expansion(made.recipe, origin=made.origin, places=made.places, shard_size=100_000).plan


def bake(adapter: Path, base: Path, out: Path, **options: Any) -> Path:
    """Bake an adapter, and check the output against its sources."""
    run_plan(planned_bake(adapter, base, **options), out)
    places = {base.name: str(base), adapter.name: str(adapter)}
    assert verify_output(out, sources=True, places=places).ok
    return out


def tensors_of(model: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor for shard in model.glob("*.safetensors") for name, tensor in load_file(shard).items()
    }


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert tensor.dtype == wanted[name].dtype, name
        assert torch.equal(tensor, wanted[name]), name


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"r": 8, "lora_alpha": 16, "target_modules": LINEAR, **TWICE}),
    "llama with rsLoRA": (
        "llama",
        {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": LINEAR, **TWICE},
    ),
    "ranks and alphas by pattern": (
        "llama",
        {
            "r": 8,
            "target_modules": LINEAR,
            "rank_pattern": {
                "^model.layers.[01].self_attn.q_proj": 4,
                "down_proj": 2,
                "layers.5.mlp.up_proj": 1,
            },
            "alpha_pattern": {"q_proj": 3, "layers.2.*o_proj": 64},
            **TWICE,
        },
    ),
    "some layers, some modules": (
        "llama",
        {
            "r": 4,
            "target_modules": ["q_proj", "up_proj"],
            "layers_to_transform": [1, 4],
            **TWICE,
        },
    ),
    "DoRA": ("llama", {"r": 4, "use_dora": True, "target_modules": LINEAR, **TWICE}),
    "embeddings and head": (
        "llama",
        {"r": 4, "target_modules": [*LINEAR, "embed_tokens", "lm_head"], **TWICE},
    ),
    "whole modules": (
        "llama",
        {
            "r": 4,
            "target_modules": LINEAR,
            "modules_to_save": ["embed_tokens", "lm_head", "post_attention_layernorm"],
            **TWICE,
        },
    ),
    "no replication": ("llama", {"r": 4, "target_modules": LINEAR}),
    "qwen2": ("qwen2", {"r": 8, "target_modules": LINEAR, **TWICE}),
    "qwen2 with biases": ("qwen2", {"r": 8, "target_modules": LINEAR, "bias": "lora_only", **TWICE}),
    "qwen2 with biases of its own": (
        "qwen2",
        {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": True, "lora_bias": True},
    ),
    "qwen3": ("qwen3", {"r": 8, "target_modules": LINEAR, **TWICE}),
    "gpt2": ("gpt2", {"r": 8, "target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    "gpt2 with all biases": (
        "gpt2",
        {"r": 4, "target_modules": ["c_attn", "c_proj"], "bias": "all", "fan_in_fan_out": True},
    ),
    "mistral": ("mistral", {"r": 4, "target_modules": "all-linear", **TWICE}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_baked_model_is_pefts_with_the_adapter(case: str, tmp_path: Path) -> None:
    kind, settings = CASES[case]
    base = tiny_checkpoint(tmp_path / "base", kind, dtype=torch.float32)
    wanted = train_adapter(base, tmp_path / "adapter", **settings)
    out = bake(tmp_path / "adapter", base, tmp_path / "out")
    assert_same(tensors_of(out), merged_tensors(base, tmp_path / "adapter", DType.F32))
    assert (logits_of(out) - wanted).abs().max() < CLOSE


def test_it_is_proven_to_load(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "qwen2")
    train_adapter(base, tmp_path / "adapter", r=2, target_modules=LINEAR, **TWICE)
    proof = check_load(planned_bake(tmp_path / "adapter", base))
    assert proof.loader
    assert not proof.problem


@pytest.mark.parametrize("dtype", [DType.BF16, DType.F16], ids=lambda dtype: dtype.value)
def test_what_is_stored_in_16_bits_is_rounded_once(dtype: DType, tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama", dtype=torch_name(dtype))
    settings = {"r": 8, "lora_alpha": 16, "target_modules": LINEAR, "modules_to_save": ["lm_head"], **TWICE}
    wanted = train_adapter(base, tmp_path / "adapter", **settings)
    out = bake(tmp_path / "adapter", base, tmp_path / "out")
    assert_same(tensors_of(out), merged_tensors(base, tmp_path / "adapter", dtype))
    wide = bake(tmp_path / "adapter", base, tmp_path / "wide", out_dtype="float32")
    assert_same(tensors_of(wide), merged_tensors(base, tmp_path / "adapter", DType.F32))
    assert (logits_of(wide) - wanted).abs().max() < CLOSE


def test_old_adapter_files_give_the_same_model(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama")
    train_adapter(base, tmp_path / "adapter", r=4, target_modules=LINEAR, **TWICE)
    old = tmp_path / "old" / "adapter"
    old.mkdir(parents=True)
    (old / "adapter_config.json").write_bytes((tmp_path / "adapter" / "adapter_config.json").read_bytes())
    torch.save(load_file(tmp_path / "adapter" / "adapter_model.safetensors"), old / "adapter_model.bin")
    bake(tmp_path / "adapter", base, tmp_path / "out")
    bake(old, base, tmp_path / "again")
    assert_same(tensors_of(tmp_path / "again"), tensors_of(tmp_path / "out"))


def test_an_adapter_that_was_changed_since_is_found(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama")
    adapter = tmp_path / "adapter"
    train_adapter(base, adapter, r=4, target_modules=["q_proj"], **TWICE)
    out = bake(adapter, base, tmp_path / "out")
    weights = adapter / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 0x40
    weights.write_bytes(raw)
    report = verify_output(out, sources=True, places={"base": str(base), "adapter": str(adapter)})
    assert {difference.check for difference in report.differences} == {"sources"}
    (tensor,) = {difference.tensor for difference in report.differences}
    assert tensor.endswith("q_proj.weight")
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 16'))
    report = verify_output(out, sources=True, places={"base": str(base), "adapter": str(adapter)})
    assert not report.ok


def test_an_adapter_that_changed_its_base_is_refused_until_peft_has_converted_it(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama", dtype=torch.float32)
    with quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        settings = {"r": 4, "target_modules": LINEAR, "task_type": "CAUSAL_LM"}
        trained = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights="pissa", **settings))
        trained.peft_config["default"].init_lora_weights = True
        trained.save_pretrained(tmp_path / "initial")
        trained.peft_config["default"].init_lora_weights = "pissa"
        train(trained, PROMPT)
        trained.save_pretrained(tmp_path / "as_it_is")
        initial = {"path_initial_model_for_weight_conversion": str(tmp_path / "initial")}
        trained.save_pretrained(tmp_path / "adapter", **initial)
        with torch.no_grad():
            wanted = trained.eval()(input_ids=PROMPT).logits
    with pytest.raises(RecipeError, match="init_lora_weights: found 'pissa', which changes the model's"):
        planned_bake(tmp_path / "as_it_is", base)
    out = bake(tmp_path / "adapter", base, tmp_path / "out")
    assert (logits_of(out) - wanted).abs().max() < CLOSE
