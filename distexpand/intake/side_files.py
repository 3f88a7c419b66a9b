"""Which files of a checkpoint are carried over beside weights and config."""

import re

_WEIGHTS = re.compile(
    r"\.(safetensors|bin|pt|pth|gguf|ggml|h5|msgpack|onnx|onnx_data|ot|tflite|mlmodel|nemo|zst)$|"
    r"\.(safetensors|bin)\.index\.json$|\.index\.json$"
)
_OWN = frozenset({"config.json", "README.md", "distexpand.json", "distexpand.json.zst", "UNFINISHED.txt"})
_TEMPLATES = "additional_chat_templates/"
_TOKENIZER = re.compile(
    r"^(tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|tekken\.json|"
    r"chat_template\..*|.*\.model|additional_chat_templates/.*|spiece\..*|sentencepiece\..*)$"
)
_LICENSE = re.compile(r"^(LICENSE|LICENCE|NOTICE|USE_POLICY)", re.IGNORECASE)
_TEXT_LIKE = re.compile(r"\.(json|jinja|jinja2|py|txt|model|tiktoken|yaml|yml|md|cfg|toml|tsv|csv|spm|dict)$")


def is_side_file(name: str) -> bool:
    """Whether a file is carried over: tokenizer, templates, generation config, custom code, licence.

    Weights in any format, pictures, training leftovers and what this program writes
    itself are not.
    """
    if name in _OWN or _WEIGHTS.search(name) or name.startswith("."):
        return False
    if "/" in name and not name.startswith(_TEMPLATES) and not name.endswith(".py"):
        return False
    return bool(_LICENSE.match(name) or _TEXT_LIKE.search(name))


def is_tokenizer_file(name: str) -> bool:
    """Whether a side file belongs to the tokenizer, and so comes from the tokenizer's model."""
    return _TOKENIZER.match(name) is not None
