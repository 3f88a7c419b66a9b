"""What a checkpoint says: greedy answers and logits, through transformers on the processor.

Greedy, in the checkpoint's own dtype, one prompt at a time (padding would
change the arithmetic): two checkpoints that compute the same function answer
with the same words and the same bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distexpand.demo.packages import ANSWER_PACKAGES, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Speaker:
    """A loaded checkpoint that can be asked.

    Everything runs on one thread: on a busy machine the threads of a small model wait for each
    other many times longer than they compute.

    Raises:
        MissingDependencyError: torch or transformers is missing.
    """

    def __init__(self, model_dir: Path) -> None:
        require(ANSWER_PACKAGES)
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - optional, slow

        with _quiet_single_thread():
            self._tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(model_dir, local_files_only=True, dtype="auto")
        self._model = model.eval()

    def answer(self, prompt: str, max_new_tokens: int) -> str:
        """Return the greedy answer to a prompt, put in the model's chat form where it has one."""
        text = prompt
        if self._tokenizer.chat_template is not None:
            turn = [{"role": "user", "content": prompt}]
            text = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        tokens = self._tokenizer(text, return_tensors="pt")
        with _quiet_single_thread():
            output = self._model.generate(**tokens, max_new_tokens=max_new_tokens, do_sample=False)
        said = output[0, tokens["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(said, skip_special_tokens=True)).strip()

    def logits(self, text: str) -> "NDArray[np.float32]":
        """Return the logits after each token of `text`: tokens by vocabulary.

        Logits of narrower dtypes widen without loss, so that equal means equal bit for bit.
        """
        import torch  # noqa: PLC0415 - optional, and slow to import

        tokens = self._tokenizer(text, return_tensors="pt")
        with _quiet_single_thread(), torch.inference_mode():
            output: NDArray[np.float32] = self._model(**tokens).logits[0].float().numpy()
        return output


@contextmanager
def _quiet_single_thread() -> Iterator[None]:
    """Keep transformers' messages off the screen and torch to one thread for a while."""
    import torch  # noqa: PLC0415 - optional, and slow to import
    from transformers.utils import logging  # noqa: PLC0415 - optional, and slow to import

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    threads = torch.get_num_threads()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
