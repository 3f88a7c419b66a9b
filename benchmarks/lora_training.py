"""Train a LoRA adapter on a text, run by an interpreter that has PEFT and nothing of ours.

    PYTHON lora_training.py MODEL TEXT SETTINGS

prints what was trained, and the loss on held-out windows after every so many steps, as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW = 128
HELD_OUT = 10
"""One window in so many is held out."""


def main() -> None:
    directory, text = sys.argv[1:3]
    settings = json.loads(sys.argv[3])
    torch.manual_seed(settings["seed"])
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=2 * settings["rank"],
        target_modules="all-linear",
        layer_replication=settings["replication"],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    training, held_out = _windows(directory, text)
    started = time.monotonic()
    curve = _train(model, training, held_out, settings)
    found = {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "layers": model.config.num_hidden_layers,
        "tokens": training.numel(),
        "held_out": held_out.numel(),
        "seconds": time.monotonic() - started,
        "curve": curve,
    }
    sys.stdout.write(json.dumps(found))


def _windows(directory: str, text: str) -> tuple[Any, Any]:
    """Return training and held-out windows: the same ones for every seed and model."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = tokenizer(Path(text).read_text(encoding="utf-8"), return_tensors="pt").input_ids[0]
    windows = ids[: len(ids) // WINDOW * WINDOW].view(-1, WINDOW)
    mine = torch.arange(len(windows)) % HELD_OUT == HELD_OUT - 1
    return windows[~mine], windows[mine]


def _train(model: Any, training: Any, held_out: Any, settings: dict[str, Any]) -> list[tuple[int, float]]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings["rate"], weight_decay=0.0)
    generator = torch.Generator().manual_seed(settings["seed"])
    curve = [(0, _loss(model, held_out))]
    order: list[int] = []
    for step in range(1, settings["steps"] + 1):
        while len(order) < settings["batch"]:
            order += torch.randperm(len(training), generator=generator).tolist()
        chosen, order = order[: settings["batch"]], order[settings["batch"] :]
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=training[chosen], labels=training[chosen]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if step % settings["every"] == 0:
            curve.append((step, _loss(model, held_out)))
            sys.stderr.write(f"step {step}: {curve[-1][1]:.4f}\n")
    return curve


def _loss(model: Any, windows: Any) -> float:
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        losses = [float(model(input_ids=part, labels=part).loss) * len(part) for part in windows.split(8)]
    return sum(losses) / len(windows)


if __name__ == "__main__":
    main()
