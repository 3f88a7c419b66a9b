"""New parameters in PEFT's terms: LoRA on the new layers' matrices, or the new layers trained whole.

PEFT finds a module by the end of its name, and its layer by the number after
`layers_pattern`.
"""

import json
import re
from typing import Any

from distexpand.handoff.new_parameters import NewParameters


def peft(new: NewParameters) -> str:
    """Return arguments of `LoraConfig` as JSON: `lora` for adapters, `whole` for the layers themselves."""
    return json.dumps({"lora": _lora(new), "whole": {"modules_to_save": _modules(new)}}, indent=1)


def _lora(new: NewParameters) -> dict[str, Any]:
    ends = sorted({name.rpartition(".")[2] for name in new.linear})
    patterns = [stem.rstrip(".").rpartition(".")[2] for stem in new.stems]
    settings = {"target_modules": ends, "layers_to_transform": list(new.layers), "layers_pattern": patterns}
    selected = [
        name
        for name in (*new.linear, *new.other_linear)
        if name.rpartition(".")[2] in ends and _layer(name, patterns) in new.layers
    ]
    return settings if selected == list(new.linear) else {"target_modules": list(new.linear)}


def _layer(name: str, patterns: list[str]) -> int | None:
    """Return the number that PEFT takes for a module's layer."""
    for pattern in patterns:
        found = re.match(rf".*\.{pattern}\.(\d+)\.", name)
        if found:
            return int(found[1])
    return None


def _modules(new: NewParameters) -> list[str]:
    """Return the new layers' own modules."""
    return [f"{stem}{layer}" for layer in new.layers for stem in new.stems]
