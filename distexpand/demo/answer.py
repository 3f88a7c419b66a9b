"""What a checkpoint says: greedy answers and logits, through transformers on the processor.

Greedy, in the checkpoint's own dtype, one prompt at a time (padding would
change the arithmetic): two checkpoints that compute the same function answer
with the same words and the same bits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distexpand.demo.packages import ANSWER_PACKAGES, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def answers(model_dir: Path, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """Return what the checkpoint answers to each prompt, greedily.

    Raises:
        MissingDependencyError: torch or transformers is missing.
    """
    require(ANSWER_PACKAGES)
    with _quiet_transformers():
        tokenizer, model = _load(model_dir)
        return [_answer(tokenizer, model, prompt, max_new_tokens) for prompt in prompts]


def logits(model_dir: Path, text: str) -> "NDArray[np.float32]":
    """Return the logits after each token of `text`: tokens by vocabulary.

    Logits of narrower dtypes widen without loss, so that equal means equal bit for bit.

    Raises:
        MissingDependencyError: torch or transformers is missing.
    """
    require(ANSWER_PACKAGES)
    import torch  # noqa: PLC0415 - optional, and slow to import

    with _quiet_transformers(), torch.inference_mode():
        tokenizer, model = _load(model_dir)
        output: NDArray[np.float32] = model(**tokenizer(text, return_tensors="pt")).logits[0].float().numpy()
        return output


def _load(model_dir: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - optional, slow to import

    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(model_dir, local_files_only=True, dtype="auto")
    return tokenizer, model.eval()


def _answer(tokenizer: Any, model: Any, prompt: str, max_new_tokens: int) -> str:
    """Answer one prompt, in the model's chat form where it has one."""
    text = prompt
    if tokenizer.chat_template is not None:
        turn = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer(text, return_tensors="pt")
    output = model.generate(**tokens, max_new_tokens=max_new_tokens, do_sample=False)
    said = output[0, tokens["input_ids"].shape[1] :]
    return str(tokenizer.decode(said, skip_special_tokens=True)).strip()


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' log lines and progress bars off the screen for a while."""
    from transformers.utils import logging  # noqa: PLC0415 - optional, and slow to import

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
