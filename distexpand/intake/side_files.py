"""Which files of a checkpoint are carried over beside weights and config."""

import re

_WEIGHTS = re.compile(
    r"\.(safetensors|bin|pt|pth|gguf|ggml|h5|msgpack|onnx|onnx_data|ot|tflite|mlmodel|nemo|zst)$|"
    r"\.(safetensors|bin)\.index\.json$|\.index\.json$"
)
_OWN = frozenset({"config.json", "distexpand.json", "distexpand.json.zst", "UNFINISHED.txt"})
_STALE = re.compile(
    r"^(README(_.*|\..*)?|mergekit_config\.ya?ml|params\.json|adapter_config\.json|zero_to_fp32\.py|"
    r"(trainer_state|training_args|all_results|train_results|eval_results|test_results)\.(json|yaml))$",
    re.IGNORECASE,
)
"""What is wrong beside the bigger model.

The source's model card, its merge recipe, the layer count of the original Llama and Mistral format,
an adapter's config that would make transformers look for the adapter, and training leftovers.
"""
_TEMPLATES = "additional_chat_templates/"
_TOKENIZER = re.compile(
    r"^(tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|tekken\.json|"
    r"chat_template\..*|.*\.(model|tiktoken|spm|bpe)|bpe\.codes|dict\.txt|tokenization_.*\.py|"
    r"additional_chat_templates/.*|spiece\..*|sentencepiece\..*)$"
)
_LICENSE = re.compile(r"^(LICENSE|LICENCE|COPYING|NOTICE|USE_POLICY)", re.IGNORECASE)
_TEXT_LIKE = re.compile(
    r"\.(json|jinja|jinja2|py|txt|model|model\.v\d+\w*|tiktoken|yaml|yml|md|cfg|toml|tsv|csv|spm|bpe|codes|dict)$"
)


def is_side_file(name: str) -> bool:
    """Whether a file is carried over: tokenizer, templates, generation config, custom code, licence.

    Custom code lies beside the config: transformers follows imports within that folder only.
    Weights in any format, pictures, training leftovers, what describes the source alone and
    what this program writes itself are not; nor is a name that can't be printed.
    """
    if name in _OWN or _STALE.match(name) or _WEIGHTS.search(name) or name.startswith("."):
        return False
    if not name.isprintable():
        return False
    if "/" in name and not name.startswith(_TEMPLATES):
        return False
    return bool(_LICENSE.match(name) or _TEXT_LIKE.search(name))


def is_tokenizer_file(name: str) -> bool:
    """Whether a side file belongs to the tokenizer, and so comes from the tokenizer's model."""
    return _TOKENIZER.match(name) is not None
