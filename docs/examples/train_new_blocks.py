"""Teach a model new words in new layers alone, and take the layers out again.

SmolLM2-135M gets identity blocks, as LLaMA Pro adds them: at first they change nothing. Only they are
trained, on a few sentences with words that nobody has heard of. The model learns them, and without the new
layers it is the original model again, bit for bit. On a processor, in a few minutes:

    python docs/examples/train_new_blocks.py --directory /tmp/new-words
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import distexpand
from distexpand.api import plan_expansion, run_plan
from distexpand.demo.model import prepare_model
from distexpand.training import Frozen

TEXT = Path(__file__).with_name("new-words.txt")
PROMPT = "A brennel is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What came of it: the loss on the text at every step, what the models say, and how much was trained."""

    frozen: Frozen
    losses: tuple[float, ...]
    before: str
    after: str
    dropped: str
    recovered: bool


def expand(source: Path, output: Path, *, blocks: int) -> Path:
    """Add identity blocks to a model, evenly spread, unless it is done already."""
    if not (output / "distexpand.json").is_file():
        recipe = f"{{model: original, block_expansion: {{blocks: {blocks}, where: interleaved}}}}"
        planned = plan_expansion(recipe, origin="recipe", places={"original": str(source)})
        run_plan(planned.plan, output)
    return output


def teach(source: Path, output: Path, text: str, *, steps: int, window: int, rate: float) -> Lesson:
    """Train the new layers of an output on a text, and drop them again.

    Args:
        source: the original model.
        output: what was made of it.
        text: what is to be learned.
        steps: how often the weights are changed; each time by one window, in turn.
        window: tokens that are looked at together.
        rate: of learning.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    ids = tokenizer(text, return_tensors="pt").input_ids
    original = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    model = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)

    frozen = distexpand.freeze_original(model, output)
    new = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(new, lr=rate, weight_decay=0.0)
    losses = [_loss(model, ids)]
    windows = _windows(ids, window)
    for step in range(steps):
        model.train()
        part = next(windows)
        model(part, labels=part).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % max(1, steps // 10) == 0:
            losses.append(_loss(model, ids))

    model.eval()
    dropped = distexpand.drop_new_layers(model, output)
    with torch.inference_mode():
        recovered = torch.equal(dropped(ids).logits, original(ids).logits)
    return Lesson(
        frozen=frozen,
        losses=tuple(losses),
        before=_answer(original, tokenizer),
        after=_answer(model, tokenizer),
        dropped=_answer(dropped, tokenizer),
        recovered=recovered,
    )


def _windows(ids: Any, window: int) -> Iterator[Any]:
    """Yield parts of the text, over and over."""
    while True:
        yield from ids.split(window, dim=1)


def _loss(model: Any, ids: Any) -> float:
    """Return the loss on the whole text."""
    model.eval()
    with torch.inference_mode():
        return float(model(ids, labels=ids).loss)


def _answer(model: Any, tokenizer: Any) -> str:
    """Return what a model says after the prompt."""
    tokens = tokenizer(PROMPT, return_tensors="pt")
    said = model.generate(**tokens, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return str(tokenizer.decode(said[0], skip_special_tokens=True)).strip()


def main() -> int:
    """Do it all and say how it went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, required=True, help="where the models are kept (600 MB)")
    parser.add_argument("--text", type=Path, default=TEXT, help="what is to be learned")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    source = prepare_model(arguments.directory / "original")
    output = expand(source, arguments.directory / f"expanded-by-{arguments.blocks}", blocks=arguments.blocks)
    lesson = teach(
        source,
        output,
        arguments.text.read_text(encoding="utf-8"),
        steps=arguments.steps,
        window=128,
        rate=1e-3,
    )
    print(f"new layers       {', '.join(map(str, lesson.frozen.layers))}")
    print(f"trained          {lesson.frozen.trainable_parameters:,} parameters")
    print(f"frozen           {lesson.frozen.frozen_parameters:,}")
    print(f"loss on the text {' '.join(f'{loss:.2f}' for loss in lesson.losses)}")
    print(f"before           {lesson.before}")
    print(f"after            {lesson.after}")
    print(f"layers dropped   {lesson.dropped}")
    print(f"original logits  {'recovered bit for bit' if lesson.recovered else 'NOT RECOVERED'}")
    return 0 if lesson.recovered else 1


if __name__ == "__main__":
    sys.exit(main())
