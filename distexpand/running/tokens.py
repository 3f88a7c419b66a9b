"""Text as a model's own tokenizer cuts it."""

from dataclasses import dataclass
from typing import Any

from distexpand.errors import UsageError
from distexpand.running.libraries import quiet, words

TEXT = (
    "The expanded model has more layers, and yet it should say what the smaller one says. In 1969 three men "
    "flew to the Moon; two of them walked on it. def add(a, b): return a + b\n"
    "Wasser kocht bei 100 Grad. L'eau bout \u00e0 100 degr\u00e9s. "
    "\u6c34\u306f100\u5ea6\u3067\u6cb8\u9a30\u3059\u308b\u3002"
)
"""What models are compared on where the user gives nothing: prose, code, numbers, other languages."""

_FIXED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A text's token ids; `by_tokenizer` tells them from fixed ones, for a model without a tokenizer."""

    ids: tuple[int, ...]
    by_tokenizer: bool


def tokenized(directory: str, text: str, *, origin: str, trust_remote_code: bool = False) -> Tokens:
    """Return a text's token ids, with the special ones that the tokenizer adds by itself.

    Raises:
        UsageError: the model has no tokenizer that can be loaded.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415  # takes seconds

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=trust_remote_code
            )
            ids = tokenizer(text)["input_ids"]
    except Exception as error:  # noqa: BLE001  # a library may fail in any way
        raise UsageError(
            f"{origin}: its tokenizer can't be loaded: {words(error)}",
            hint="A text needs the model's tokenizer; copy its files into the model's directory.",
        ) from None
    return Tokens(ids=tuple(ids), by_tokenizer=True)


def fixed_tokens(config: Any) -> Tokens:
    """Return token ids all over a model's vocabulary."""
    vocabulary = int(config.get_text_config().vocab_size)
    return Tokens(ids=tuple(7919 * place % vocabulary for place in range(1, _FIXED + 1)), by_tokenizer=False)
