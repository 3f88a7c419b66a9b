"""What a trainer selects by its own code, run by an interpreter that has that trainer and nothing of ours.

    PYTHON select_in_trainer.py < CASES

reads a JSON list of [trainer, model's directory, config] and prints one of answers: the selected
names, or a text that says what went wrong. `peft-lora` names modules, the others parameters.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "CUDA_VISIBLE_DEVICES": ""}


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        answers = [_answer(*case) for case in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(answers))


def _answer(trainer: str, directory: str, config: str) -> list[str] | str:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - slow to import

    try:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
        return SELECTIONS[trainer](model, config, directory)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _llama_factory(model: Any, config: str, directory: str) -> list[str]:
    import yaml  # noqa: PLC0415
    from llamafactory.hparams import FinetuningArguments, ModelArguments  # noqa: PLC0415
    from llamafactory.model.adapter import init_adapter  # noqa: PLC0415

    arguments = FinetuningArguments(**yaml.safe_load(config))
    where = ModelArguments(model_name_or_path=directory)
    return _trainable(init_adapter(model.config, model, where, arguments, is_trainable=True))


def _axolotl(model: Any, config: str, _: str) -> list[str]:
    import yaml  # noqa: PLC0415
    from axolotl.utils.freeze import freeze_layers_except  # noqa: PLC0415

    freeze_layers_except(model, yaml.safe_load(config)["unfrozen_parameters"])
    return _trainable(model)


def _peft_lora(model: Any, config: str, _: str) -> list[str]:
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    wrapped = get_peft_model(model, LoraConfig(r=1, **json.loads(config)["lora"]))
    mark = ".lora_A."
    return [
        name.removeprefix("base_model.model.").partition(mark)[0]
        for name in _trainable(wrapped)
        if mark in name
    ]


def _peft_whole(model: Any, config: str, _: str) -> list[str]:
    """Train new layers whole; PEFT insists on an adapter somewhere, so the first layer gets one."""
    import torch  # noqa: PLC0415
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415
    from transformers.pytorch_utils import Conv1D  # noqa: PLC0415

    linear = (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear | Conv1D))
    somewhere = next(name for name in linear if ".0." in name)
    wrapped = get_peft_model(
        model, LoraConfig(r=1, target_modules=[somewhere], **json.loads(config)["whole"])
    )
    return [
        name.removeprefix("base_model.model.").replace("modules_to_save.default.", "")
        for name in _trainable(wrapped)
        if "lora_" not in name
    ]


def _trainable(model: Any) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


SELECTIONS = {
    "llama-factory": _llama_factory,
    "axolotl": _axolotl,
    "peft-lora": _peft_lora,
    "peft-whole": _peft_whole,
}


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    main()
