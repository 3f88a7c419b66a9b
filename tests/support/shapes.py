"""Tensor names, shapes, dtypes and configs of published model families, from their dimensions.

Planning needs headers only, so that a test of a 405B model needs no weights:
what counts is that names and shapes are the true ones. `test_shapes` holds
every family against transformers' own class.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Shapes = Iterator[tuple[str, tuple[int, ...]]]

ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
TORCH_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A published model: its config, and its tensors in the order of the model's state dict.

    `dtype` is the safetensors name of every tensor's dtype.
    """

    name: str
    config: dict[str, Any]
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    dtype: str

    @property
    def num_layers(self) -> int:
        """How many layers the stack has."""
        return int(self.config["num_hidden_layers"])

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(math.prod(shape) for _, shape in self.tensors)

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return self.parameters * ITEM_BYTES[self.dtype]


def family(name: str, *, num_layers: int | None = None, dtype: str | None = None, **changes: Any) -> Family:
    """Return a family by name, on request with other layers, dtype or config values."""
    config, published_dtype = FAMILIES[name]
    stored = dtype or published_dtype
    config = config | {"torch_dtype": TORCH_NAMES[stored]} | changes
    if num_layers is not None:
        config["num_hidden_layers"] = num_layers
    tensors = _TENSORS[config["model_type"]](config)
    return Family(name=name, config=config, tensors=tuple(tensors), dtype=stored)


def _stack(config: dict[str, Any], layer: Callable[[dict[str, Any]], Shapes]) -> Shapes:
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", (vocab, hidden)
    for index in range(config["num_hidden_layers"]):
        for name, shape in layer(config):
            yield f"model.layers.{index}.{name}", shape
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, hidden)


def _heads(config: dict[str, Any]) -> tuple[int, int]:
    """Return the rows of the query projection and of key or value projection."""
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return config["num_attention_heads"] * size, config["num_key_value_heads"] * size


def _llama_layer(config: dict[str, Any]) -> Shapes:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    query, key = _heads(config)
    yield "self_attn.q_proj.weight", (query, hidden)
    yield "self_attn.k_proj.weight", (key, hidden)
    yield "self_attn.v_proj.weight", (key, hidden)
    yield "self_attn.o_proj.weight", (hidden, query)
    yield "mlp.gate_proj.weight", (inner, hidden)
    yield "mlp.up_proj.weight", (inner, hidden)
    yield "mlp.down_proj.weight", (hidden, inner)
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)


def _phi3_layer(config: dict[str, Any]) -> Shapes:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    query, key = _heads(config)
    yield "self_attn.o_proj.weight", (hidden, query)
    yield "self_attn.qkv_proj.weight", (query + 2 * key, hidden)
    yield "mlp.gate_up_proj.weight", (2 * inner, hidden)
    yield "mlp.down_proj.weight", (hidden, inner)
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)


_TENSORS: dict[str, Callable[[dict[str, Any]], Shapes]] = {
    "llama": lambda config: _stack(config, _llama_layer),
    "mistral": lambda config: _stack(config, _llama_layer),
    "phi3": lambda config: _stack(config, _phi3_layer),
}


def _config(model_type: str, architecture: str, **values: Any) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "transformers_version": "4.46.0",
        "use_cache": True,
        **values,
    }


def _llama(**values: Any) -> dict[str, Any]:
    return _config("llama", "LlamaForCausalLM", attention_bias=False, mlp_bias=False, **values)


_LLAMA3_IDS = {"bos_token_id": 128000, "eos_token_id": 128001, "rope_theta": 500000.0, "vocab_size": 128256}

FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "llama2-7b": (
        _llama(
            hidden_size=4096,
            intermediate_size=11008,
            max_position_embeddings=4096,
            num_attention_heads=32,
            num_hidden_layers=32,
            num_key_value_heads=32,
            vocab_size=32000,
        ),
        "F16",
    ),
    "llama2-70b": (
        _llama(
            hidden_size=8192,
            intermediate_size=28672,
            max_position_embeddings=4096,
            num_attention_heads=64,
            num_hidden_layers=80,
            num_key_value_heads=8,
            vocab_size=32000,
        ),
        "F16",
    ),
    "llama3-70b": (
        _llama(
            hidden_size=8192,
            intermediate_size=28672,
            max_position_embeddings=8192,
            num_attention_heads=64,
            num_hidden_layers=80,
            num_key_value_heads=8,
            **_LLAMA3_IDS,
        ),
        "BF16",
    ),
    "llama3.1-405b": (
        _llama(
            hidden_size=16384,
            intermediate_size=53248,
            max_position_embeddings=131072,
            num_attention_heads=128,
            num_hidden_layers=126,
            num_key_value_heads=8,
            rope_scaling={
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            **_LLAMA3_IDS,
        ),
        "BF16",
    ),
    "mistral-7b": (
        _config(
            "mistral",
            "MistralForCausalLM",
            hidden_size=4096,
            intermediate_size=14336,
            max_position_embeddings=32768,
            num_attention_heads=32,
            num_hidden_layers=32,
            num_key_value_heads=8,
            sliding_window=4096,
            vocab_size=32000,
        ),
        "BF16",
    ),
    "phi-4": (
        _config(
            "phi3",
            "Phi3ForCausalLM",
            attention_bias=False,
            bos_token_id=100257,
            embd_pdrop=0.0,
            eos_token_id=100257,
            hidden_size=5120,
            intermediate_size=17920,
            max_position_embeddings=16384,
            num_attention_heads=40,
            num_hidden_layers=40,
            num_key_value_heads=10,
            original_max_position_embeddings=16384,
            pad_token_id=100349,
            resid_pdrop=0.0,
            rope_scaling=None,
            rope_theta=250000,
            sliding_window=None,
            vocab_size=100352,
        ),
        "BF16",
    ),
    "tinyllama-1.1b": (
        _llama(
            hidden_size=2048,
            intermediate_size=5632,
            max_position_embeddings=2048,
            num_attention_heads=32,
            num_hidden_layers=22,
            num_key_value_heads=4,
            vocab_size=32000,
        ),
        "BF16",
    ),
    "smollm2-135m": (
        _llama(
            hidden_size=576,
            intermediate_size=1536,
            max_position_embeddings=8192,
            num_attention_heads=9,
            num_hidden_layers=30,
            num_key_value_heads=3,
            rope_theta=100000,
            tie_word_embeddings=True,
            vocab_size=49152,
        ),
        "BF16",
    ),
}
