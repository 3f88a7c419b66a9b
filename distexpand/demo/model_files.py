"""The small files of SmolLM2's checkpoint, from the facts in its GGUF file.

Keys are in the form that transformers 4 publishes, which 5 reads as well.
The tokenizer is written as it was published: digits split one by one, then
byte-level BPE (`tokenizer.ggml.pre: smollm`); transformers' own reading of
the GGUF file leaves the digit rule out.
"""

import json
from typing import Any

from distexpand.demo.gguf_source import GgufModel

_CONTROL = 3
"""GGUF's token type of a special token."""


def small_files(model: GgufModel) -> dict[str, str]:
    """Return name and text of config, generation config and tokenizer files."""
    documents = {
        "config.json": _config(model),
        "generation_config.json": _generation_config(model),
        "tokenizer.json": _tokenizer(model),
        "tokenizer_config.json": _tokenizer_config(model),
        "special_tokens_map.json": _special_tokens(model),
    }
    texts = {name: _text(document) for name, document in documents.items()}
    return texts | {"chat_template.jinja": model.fact("tokenizer.chat_template")}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _config(model: GgufModel) -> dict[str, Any]:
    heads = model.fact("llama.attention.head_count")
    names = {tensor.name for tensor in model.tensors()}
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": model.fact("tokenizer.ggml.bos_token_id"),
        "eos_token_id": model.fact("tokenizer.ggml.eos_token_id"),
        "head_dim": model.fact("llama.embedding_length") // heads,
        "hidden_act": "silu",
        "hidden_size": model.fact("llama.embedding_length"),
        "initializer_range": 0.02,
        "intermediate_size": model.fact("llama.feed_forward_length"),
        "max_position_embeddings": model.fact("llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": model.fact("llama.block_count"),
        "num_key_value_heads": model.fact("llama.attention.head_count_kv"),
        "pad_token_id": model.fact("tokenizer.ggml.padding_token_id"),
        "pretraining_tp": 1,
        "rms_norm_eps": _shortest(model.fact("llama.attention.layer_norm_rms_epsilon")),
        "rope_scaling": None,
        "rope_theta": model.fact("llama.rope.freq_base"),
        "tie_word_embeddings": "lm_head.weight" not in names,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": model.fact("llama.vocab_size"),
    }


def _shortest(single: float) -> float:
    """Return the number that was meant: GGUF keeps 1e-05 in single precision."""
    return float(f"{single:.6g}")


def _generation_config(model: GgufModel) -> dict[str, Any]:
    return {
        "_from_model_config": True,
        "bos_token_id": model.fact("tokenizer.ggml.bos_token_id"),
        "eos_token_id": model.fact("tokenizer.ggml.eos_token_id"),
        "pad_token_id": model.fact("tokenizer.ggml.padding_token_id"),
    }


def _special_tokens(model: GgufModel) -> dict[str, str]:
    tokens = model.fact("tokenizer.ggml.tokens")
    return {
        "bos_token": tokens[model.fact("tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[model.fact("tokenizer.ggml.eos_token_id")],
        "pad_token": tokens[model.fact("tokenizer.ggml.padding_token_id")],
        "unk_token": tokens[model.fact("tokenizer.ggml.unknown_token_id")],
    }


def _tokenizer_config(model: GgufModel) -> dict[str, Any]:
    return {
        "add_prefix_space": model.fact("tokenizer.ggml.add_space_prefix"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.fact("llama.context_length"),
        "tokenizer_class": "PreTrainedTokenizerFast",
        **_special_tokens(model),
    }


def _tokenizer(model: GgufModel) -> dict[str, Any]:
    tokens = model.fact("tokenizer.ggml.tokens")
    kinds = model.fact("tokenizer.ggml.token_type")
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _special(index, token)
            for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
            if kind == _CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                byte_level | {"add_prefix_space": False},
            ],
        },
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": tokens[model.fact("tokenizer.ggml.unknown_token_id")],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": model.fact("tokenizer.ggml.merges"),
        },
    }


def _special(index: int, token: str) -> dict[str, Any]:
    return {
        "id": index,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
