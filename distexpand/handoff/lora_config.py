"""PEFT's LoRA config, with the keys that say something; the others have PEFT's defaults."""

from dataclasses import dataclass
from typing import Any

from distexpand.handoff.replication import Ranges
from distexpand.handoff.target_modules import TargetModules
from distexpand.planning.sources import SourceModel
from distexpand.recipe.lora_settings import LORA

CAUSAL = "ForCausalLM"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraChoice:
    """What a recipe doesn't say of an adapter: its rank, and by what its deltas are scaled."""

    rank: int
    alpha: float
    rslora: bool = False


def lora_config(
    model: SourceModel, ranges: Ranges, targets: TargetModules, choice: LoraChoice
) -> dict[str, Any]:
    """Return the content of `adapter_config.json`."""
    architectures = model.config.get("architectures") or [""]
    causal = str(architectures[0]).endswith(CAUSAL)
    return {
        "peft_type": LORA,
        "task_type": "CAUSAL_LM" if causal else None,
        "base_model_name_or_path": model.model.name,
        "revision": model.model.revision,
        "r": choice.rank,
        "lora_alpha": int(choice.alpha) if choice.alpha == int(choice.alpha) else choice.alpha,
        "use_rslora": choice.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": targets.transposed,
        "target_modules": list(targets.names),
        "layer_replication": [list(span) for span in ranges],
        "init_lora_weights": True,
        "inference_mode": False,
    }
